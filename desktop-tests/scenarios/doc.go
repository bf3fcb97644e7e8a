// Package scenarios is what virtual machines must show. Its tests have the build tag
// vm: they boot machines, so that `go test ./...` leaves them out and `make test`
// runs them in a step of their own.
//
//	go test -tags vm ./desktop-tests/scenarios -run TestSmoke -v
package scenarios
