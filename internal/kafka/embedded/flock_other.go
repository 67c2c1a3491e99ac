//go:build !unix

package embedded

import "os"

// flock does nothing where the system has no such lock: there the port of the
// broker is what two processes cannot share.
func flock(*os.File) error { return nil }
