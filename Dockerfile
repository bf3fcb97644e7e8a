# dynamod as the first process of a container: it starts what is in
# /etc/dynamod/services, reaps orphans, stops everything in order on TERM, INT or
# RTMIN+3, and ends with a code.
#
#   docker build -t dynamod .
#   docker run --rm --name d dynamod
#   docker exec d dynamodctl list
#   docker stop d
#
# svmgr/container_test.go runs the same programs in the same way in namespaces.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ENV CGO_ENABLED=0
RUN go build -trimpath -o /out/dynamodctl ./dynamodctl \
 && go build -trimpath -o /out/dynamod-svmgr ./svmgr \
 && go build -trimpath -ldflags='-s -w' -o /out/dynamod-child ./svmgr/child

FROM debian:trixie-slim
# The image's own timers (apt, dpkg) have nothing to do in a container.
RUN rm -rf /etc/systemd/system/*.wants
COPY --from=build /out/dynamod-svmgr /out/dynamod-child /usr/lib/dynamod/
COPY --from=build /out/dynamodctl /usr/bin/
COPY examples/container/services /etc/dynamod/services
STOPSIGNAL SIGTERM
HEALTHCHECK CMD ["dynamodctl", "ping"]
ENTRYPOINT ["/usr/lib/dynamod/dynamod-svmgr", "-container"]
