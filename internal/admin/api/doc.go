// Package api is what operators and their programs see and do over HTTP: /v1 of the
// admin listener, described by openapi.yaml. It checks what is asked, by whom, and how
// much of it at once. What is answered comes from those who know, through the small
// interfaces it declares; long work runs in package jobs.
package api
