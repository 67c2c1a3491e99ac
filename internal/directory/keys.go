package directory

// keys are the names of what is kept in Redis; see the package comment.
type keys struct{ prefix string }

func (k keys) user(id string) string          { return k.prefix + "user:" + id }
func (k keys) sessions(life string) string    { return k.prefix + "sessions:" + life }
func (k keys) lives() string                  { return k.prefix + "lives" }
func (k keys) sweeper() string                { return k.prefix + "sweeper" }
func (k keys) node(id string) string          { return k.prefix + "node:" + id }
func (k keys) address(hostPort string) string { return k.prefix + "address:" + hostPort }
func (k keys) nodes() string                  { return k.prefix + "nodes" }
