{{- define "scc-operator.selector" -}}
app.kubernetes.io/component: controller
app.kubernetes.io/name: scc-operator
{{- end }}

{{- define "scc-operator.labels" -}}
{{ include "scc-operator.selector" . }}
app.kubernetes.io/part-of: scc-operator
{{- end }}

{{- /* Settings as environment variables: exemptNamespaces: [a, b] becomes SCC_OPERATOR_EXEMPT_NAMESPACES: "a,b". */ -}}
{{- define "scc-operator.environment" -}}
{{- range $key, $value := . }}
{{- if kindIs "bool" $value }}{{ $value = ternary "on" "off" $value }}{{ end }}
{{- if kindIs "slice" $value }}{{ $value = join "," $value }}{{ end }}
{{- if kindIs "float64" $value }}{{ $value = ternary (int64 $value) $value (eq (floor $value) $value) }}{{ end }}
- name: SCC_OPERATOR_{{ $key | snakecase | upper }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
