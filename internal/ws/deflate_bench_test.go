package ws_test

import (
	"fmt"
	"strings"
	"testing"

	"pushgate/internal/ws"
)

// orders is JSON as it is pushed: fields that repeat, values that do not.
func orders(size int) []byte {
	var b strings.Builder
	b.WriteString(`{"id":"0194f6a2-7a3c-7bfb-8f1f-3f1c2d9e0001","type":"order","time":"2030-01-02T12:00:00.725Z","attempt":1,"data":[`)
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `{"order":%d,"state":"%s","price":%d.%02d,"item":"%08x"},`,
			991+i*7, []string{"shipped", "packed", "paid"}[i%3], i*31%997, i*17%100, uint32(i)*2654435761)
	}
	return []byte(b.String()[:size-2] + "]}")
}

func BenchmarkDeflate(b *testing.B) {
	for _, size := range []int{256, 1 << 10, 8 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			frame := ws.AppendFrame(nil, ws.OpText, orders(size))
			b.ReportAllocs()
			length := 0
			for b.Loop() {
				length = len(ws.Deflate(frame))
			}
			b.ReportMetric(float64(length), "B/frame")
		})
	}
}

func BenchmarkInflate(b *testing.B) {
	for _, size := range []int{256, 1 << 10, 8 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			sent := compressedFrame(b, ws.OpText, string(orders(size))).bytes()
			fed := make([]byte, len(sent))
			p := ws.NewParser(deflateTestLimits)
			b.ReportAllocs()
			for b.Loop() {
				copy(fed, sent) // feeding unmasks
				if p.Feed(fed, silent{}) != nil {
					b.Fatal("not read")
				}
			}
		})
	}
}
