//go:build !linux

package ws

import "net"

// loops are where the system has something cheaper than a goroutine for each
// connection. Here it has not.
type loops struct{}

func (*loops) adopt(*Conn, net.Conn) bool { return false }
func (*loops) stop()                      {}

type polled struct{}

// Detachable returns the listener as it is: there are no loops here.
func Detachable(l net.Listener) net.Listener { return l }
