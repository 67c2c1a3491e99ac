package listen

import "net"

// within looks for a T in what stands around a socket: each layer says by a method NetConn
// what it stands on, as a tls.Conn does.
func within[T any](nc net.Conn) (found T, ok bool) {
	for {
		if found, ok = nc.(T); ok {
			return found, true
		}
		around, more := nc.(interface{ NetConn() net.Conn })
		if !more {
			return found, false
		}
		nc = around.NetConn()
	}
}

// closeWrite ends the sending side of a connection, of one that can: net/http does so
// before it closes one whose request it has not read to the end, so that the answer
// arrives.
func closeWrite(nc net.Conn) error {
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
