package fleet

import (
	"fmt"
	"time"
)

// NodesConfig says how nodes tell of themselves.
type NodesConfig struct {
	ReportInterval time.Duration `mapstructure:"report_interval" doc:"How often each node writes a report of itself to kafka.topics.nodes. A node that has been silent for three times that, and at least 10s, is shown as silent."`
}

// DefaultNodesConfig returns the defaults of NodesConfig.
func DefaultNodesConfig() NodesConfig { return NodesConfig{ReportInterval: 2 * time.Second} }

// Validate reports every value that cannot work.
func (c NodesConfig) Validate() error {
	if c.ReportInterval < 100*time.Millisecond || c.ReportInterval > 5*time.Minute {
		return fmt.Errorf("nodes.report_interval is %s: must be from 100ms to 5m", c.ReportInterval)
	}
	return nil
}
