# The operator's image: the locked packages and the source, nothing that builds.
FROM python:3.13-slim AS build
COPY requirements-runtime.lock /build/
RUN python -m venv --without-pip /opt/scc-operator \
 && python -m pip --python /opt/scc-operator/bin/python install --no-cache-dir --disable-pip-version-check \
    --require-hashes --only-binary=:all: -r /build/requirements-runtime.lock
COPY operator/scc_operator /build/scc_operator
RUN cp -r /build/scc_operator /opt/scc-operator/lib/python3.13/site-packages/ \
 && /opt/scc-operator/bin/python -m compileall -q /opt/scc-operator/lib/python3.13/site-packages/scc_operator

FROM python:3.13-slim
LABEL org.opencontainers.image.title=scc-operator \
      org.opencontainers.image.description="OpenShift's SecurityContextConstraints for any Kubernetes cluster" \
      org.opencontainers.image.licenses=Apache-2.0
COPY --from=build /opt/scc-operator /opt/scc-operator
COPY LICENSE /licenses/LICENSE
# Nothing is written but to /tmp, so the root file system may be read-only. Any user ID will do; a number, so that a kubelet
# can tell that it is not root's.
ENV PATH=/opt/scc-operator/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080 8081
CMD ["kopf", "run", "-A", "--standalone", "-m", "scc_operator.app"]
