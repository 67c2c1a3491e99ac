package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Usage is what a node has used so far.
type Usage struct {
	CPUSeconds float64
	RSSBytes   float64
	Sessions   float64
	Delivered  float64
	Read       float64
	Dropped    float64
}

// NodeAt returns the node whose admin listener is at address (http://host:port).
func NodeAt(client *http.Client, address, token string) Node {
	address = strings.TrimSuffix(address, "/")
	return Node{Name: address, Usage: func(ctx context.Context) (Usage, error) {
		u, err := scrape(ctx, client, address+"/metrics", token)
		if err != nil {
			return u, fmt.Errorf("asking %s for its metrics: %w", address, err)
		}
		return u, nil
	}}
}

func scrape(ctx context.Context, client *http.Client, url, token string) (Usage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return Usage{}, fmt.Errorf("making the request: %w", err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := client.Do(req)
	if err != nil {
		return Usage{}, err //nolint:wrapcheck // names the address already
	}
	defer func() { _ = res.Body.Close() }()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return Usage{}, fmt.Errorf("it answered %s: give its admin.token with --admin-token", res.Status)
	default:
		return Usage{}, fmt.Errorf("it answered %s", res.Status)
	}
	return parseUsage(res.Body)
}

var errNoNode = errors.New("what it answered are not the metrics of a node")

// parseUsage reads Prometheus' text format, as far as it is needed: the values of
// a metric are added up over its labels.
func parseUsage(r io.Reader) (Usage, error) {
	var u Usage
	wanted := map[string]*float64{
		"process_cpu_seconds_total":       &u.CPUSeconds,
		"process_resident_memory_bytes":   &u.RSSBytes,
		"pushgate_sessions":               &u.Sessions,
		"pushgate_delivered_total":        &u.Delivered,
		"pushgate_requests_read_total":    &u.Read,
		"pushgate_requests_dropped_total": &u.Dropped,
	}
	found := false
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, ok := cutSample(lines.Text())
		into := wanted[name]
		if !ok || into == nil {
			continue
		}
		*into += value
		found = true
	}
	if err := lines.Err(); err != nil {
		return u, fmt.Errorf("reading metrics: %w", err)
	}
	if !found {
		return u, errNoNode
	}
	return u, nil
}

// cutSample takes a line apart. Label values of the metrics that are wanted hold
// no braces.
func cutSample(line string) (name string, value float64, ok bool) {
	end := strings.IndexAny(line, "{ ")
	if end < 1 || line[0] == '#' {
		return "", 0, false
	}
	name, rest := line[:end], line[end:]
	if rest[0] == '{' {
		if _, rest, ok = strings.Cut(rest, "}"); !ok {
			return "", 0, false
		}
	}
	text, _, _ := strings.Cut(strings.TrimSpace(rest), " ") // a time may follow
	value, err := strconv.ParseFloat(text, 64)
	return name, value, err == nil
}

// minus returns what was used since an earlier look.
func (u Usage) minus(earlier Usage) Usage {
	return Usage{
		CPUSeconds: u.CPUSeconds - earlier.CPUSeconds,
		RSSBytes:   u.RSSBytes - earlier.RSSBytes,
		Sessions:   u.Sessions - earlier.Sessions,
		Delivered:  u.Delivered - earlier.Delivered,
		Read:       u.Read - earlier.Read,
		Dropped:    u.Dropped - earlier.Dropped,
	}
}
