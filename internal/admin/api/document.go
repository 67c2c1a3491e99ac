package api

import (
	_ "embed" // the document
	"net/http"
)

//go:embed openapi.yaml
var document []byte //nolint:gochecknoglobals // embed asks for one; it is never written

// Document returns the OpenAPI document of the API.
func Document() []byte { return append([]byte(nil), document...) }

// document answers GET /v1/openapi.yaml.
func (a *API) document(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(document)
}
