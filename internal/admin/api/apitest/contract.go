// Package apitest holds what the admin API answers against its OpenAPI document, for
// tests with fakes and for those with a real node. What is asked is left to them.
//
// The schemas of OpenAPI 3.1 are JSON Schema, so that a validator of that is enough.
// openapi-3.1.schema.json is the OpenAPI Initiative's own (2022-10-07, Apache-2.0).
package apitest

import (
	"bytes"
	"context"
	_ "embed" // the schema of OpenAPI documents
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"pushgate/internal/admin/api"
)

//go:embed openapi-3.1.schema.json
var openAPI []byte //nolint:gochecknoglobals // embed asks for one; it is never written

// Names under which the schemas refer to each other.
const (
	documentURL = "mem:///openapi.yaml"
	openAPIURL  = "https://spec.openapis.org/oas/3.1/schema/2022-10-07"
)

// Contract is the document, made strict: what it does not name is wrong. Safe for
// concurrent use.
type Contract struct {
	document map[string]any
	metadata *jsonschema.Schema
	routes   *http.ServeMux
	schemas  map[string]*jsonschema.Schema // by JSON pointer
}

// New reads the document, and fails the test where one of its schemas is none.
func New(t testing.TB) *Contract {
	t.Helper()
	c := &Contract{document: parse(t), routes: http.NewServeMux(), schemas: make(map[string]*jsonschema.Schema)}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	meta, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI))
	require.NoError(t, err)
	require.NoError(t, compiler.AddResource(openAPIURL, meta))
	c.metadata, err = compiler.Compile(openAPIURL)
	require.NoError(t, err)
	strict := parse(t)
	forbidOthers(strict)
	require.NoError(t, compiler.AddResource(documentURL, strict))
	paths := object(strict, "paths")
	for path, methods := range paths {
		for method := range methods.(map[string]any) {
			c.routes.HandleFunc(strings.ToUpper(method)+" "+path, func(http.ResponseWriter, *http.Request) {})
		}
	}
	for _, pointer := range pointersToSchemas(strict, "") {
		schema, err := compiler.Compile(documentURL + "#" + pointer)
		require.NoError(t, err, pointer)
		c.schemas[pointer] = schema
	}
	return c
}

func parse(t testing.TB) map[string]any {
	t.Helper()
	var document map[string]any
	require.NoError(t, yaml.Unmarshal(api.Document(), &document))
	return plain(document).(map[string]any)
}

// plain has numbers as JSON has them.
func plain(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = plain(v[key])
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case int:
		return float64(v)
	}
	return value
}

// forbidOthers forbids members of objects that the schemas do not name.
func forbidOthers(value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, child := range v {
			forbidOthers(child)
		}
		_, named := v["properties"].(map[string]any)
		if _, decided := v["additionalProperties"]; named && v["type"] == "object" && !decided {
			v["additionalProperties"] = false
		}
	case []any:
		for _, child := range v {
			forbidOthers(child)
		}
	}
}

// pointersToSchemas finds the schemas of contents and parameters, and the named ones.
func pointersToSchemas(value any, at string) (found []string) {
	members, ok := value.(map[string]any)
	if list, is := value.([]any); is {
		members, ok = make(map[string]any), true
		for i, child := range list {
			members[strconv.Itoa(i)] = child
		}
	}
	if !ok {
		return nil
	}
	for name, child := range members {
		pointer := at + "/" + escape(name)
		if name == "schema" || at == "/components/schemas" {
			found = append(found, pointer)
			continue
		}
		found = append(found, pointersToSchemas(child, pointer)...)
	}
	return found
}

func escape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

func object(value map[string]any, path ...string) map[string]any {
	for _, name := range path {
		value, _ = value[name].(map[string]any)
	}
	return value
}

// Document fails the test where the document itself is no OpenAPI 3.1, or has a
// reference that leads nowhere.
func (c *Contract) Document(t testing.TB) {
	t.Helper()
	require.NoError(t, c.metadata.Validate(c.document))
	c.references(t, c.document)
}

func (c *Contract) references(t testing.TB, value any) {
	t.Helper()
	switch v := value.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			path := strings.Split(strings.TrimPrefix(ref, "#/"), "/")
			assert.NotNil(t, object(c.document, path...), ref)
		}
		for _, child := range v {
			c.references(t, child)
		}
	case []any:
		for _, child := range v {
			c.references(t, child)
		}
	}
}

// Paths are the operations, as "GET /v1/session", sorted.
func (c *Contract) Paths() []string {
	var all []string
	for path, methods := range object(c.document, "paths") {
		for method := range methods.(map[string]any) {
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(all)
	return all
}

// Speaks says whether the document speaks of a request.
func (c *Contract) Speaks(method, target string) bool { return c.pattern(method, target) != "" }

// pattern of the operation that a request is for, empty if there is none.
func (c *Contract) pattern(method, target string) string {
	_, pattern := c.routes.Handler(httptest.NewRequestWithContext(context.Background(), method, target, http.NoBody))
	return pattern
}

// Answer fails the test where an answer is not as documented: its status, type or
// body. The body of res was read.
func (c *Contract) Answer(t testing.TB, req *http.Request, res *http.Response, body []byte) {
	t.Helper()
	method, path, found := strings.Cut(c.pattern(req.Method, req.URL.RequestURI()), " ")
	if !assert.True(t, found, "%s %s is not documented", req.Method, req.URL) {
		return
	}
	at := []string{"paths", path, strings.ToLower(method), "responses", strconv.Itoa(res.StatusCode)}
	if object(c.document, at...) == nil {
		assert.GreaterOrEqual(t, res.StatusCode, http.StatusBadRequest, "%s %s: this status is not documented", req.Method, req.URL)
		at[len(at)-1] = "default"
	}
	if ref, ok := object(c.document, at...)["$ref"].(string); ok {
		at = strings.Split(strings.TrimPrefix(ref, "#/"), "/")
	}
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	assert.NoError(t, err)
	contents := object(c.document, append(at, "content")...)
	if !assert.Contains(t, slices.Sorted(maps.Keys(contents)), kind, "%s %s", req.Method, req.URL) || kind != "application/json" {
		return
	}
	var pointer strings.Builder
	for _, name := range append(at, "content", kind, "schema") {
		pointer.WriteString("/" + escape(name))
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if assert.NoError(t, err) {
		assert.NoError(t, c.schemas[pointer.String()].Validate(value), "%s %s: %d %s", req.Method, req.URL, res.StatusCode, body)
	}
}
