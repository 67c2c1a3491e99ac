package push

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Presence says what a receipt tells about the gateway itself.
type Presence uint8

// Announce opens the life of a gateway on a partition, Goodbye ends it; every
// other receipt is a heartbeat too.
const (
	Heartbeat Presence = iota
	Announce
	Goodbye
)

// Failure is one offset that could not be delivered.
type Failure struct {
	Offset int64
	Reason Reason
}

// Receipt is what one gateway has to say about one partition of the request
// topic since its last receipt: one record of the receipt topic, in the
// partition of the same number.
type Receipt struct {
	Node string
	// Epoch tells lives of a node apart: a later start has a greater one.
	Epoch    int64
	Presence Presence
	// Called: this gateway reads no requests. Custodians call it with what is for its
	// users, and ReadThrough says nothing.
	Called bool
	// ReadThrough: every offset below it was looked at. What no receipt up to
	// this one lists was not owned here.
	ReadThrough int64
	// Delivered is final. Held was written and awaits the client's word. Queued
	// is owned here but not written yet; it is listed when ReadThrough passes it,
	// so that nobody takes it for not owned. For Held and Queued a later Delivered
	// or Failed follows, or the gateway's end.
	Delivered, Held, Queued []int64
	Failed                  []Failure
	// Connected are sessions that were opened. What is below ReadThrough, less the
	// last Binding.Saw offsets, these sessions have not seen.
	Connected []Binding
}

// Empty says whether the receipt says nothing but "alive, read through".
func (r *Receipt) Empty() bool {
	return r.Presence == Heartbeat && len(r.Delivered) == 0 && len(r.Held) == 0 &&
		len(r.Queued) == 0 && len(r.Failed) == 0 && len(r.Connected) == 0
}

// receiptVersion is the first byte of an encoded receipt.
const receiptVersion = 1

// calledFlag marks, in the byte of the presence, a gateway that is called.
const calledFlag = 0x80

// maxReceiptItems bounds what one decoded receipt may hold, so that malformed
// bytes cannot ask for memory they do not bring: every item takes at least a byte.
const maxReceiptItems = 1 << 20

var errShort = errors.New("it ends early")

// AppendBinary appends the encoded receipt: a version byte, then varints; offset
// lists are sorted and written as runs (gap to the previous run, length), so
// that a busy partition costs about two bytes for a stretch of deliveries. The
// lists of r are sorted and deduplicated in place.
func (r *Receipt) AppendBinary(dst []byte) []byte {
	presence := byte(r.Presence)
	if r.Called {
		presence |= calledFlag
	}
	dst = append(dst, receiptVersion, presence)
	dst = appendText(dst, r.Node)
	dst = binary.AppendVarint(dst, r.Epoch)
	dst = binary.AppendVarint(dst, r.ReadThrough)
	for _, list := range []*[]int64{&r.Delivered, &r.Held, &r.Queued} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
		dst = appendRuns(dst, *list)
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Failed)))
	for _, f := range r.Failed {
		dst = binary.AppendVarint(dst, f.Offset)
		dst = append(dst, byte(f.Reason))
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Connected)))
	for _, b := range r.Connected {
		dst = appendText(dst, b.User)
		dst = appendText(dst, b.Type)
		dst = binary.AppendVarint(dst, b.Saw)
	}
	return dst
}

// DecodeReceipt decodes what AppendBinary wrote. The result aliases nothing.
func DecodeReceipt(b []byte) (Receipt, error) {
	d := decoder{rest: b}
	var r Receipt
	if v := d.byte(); d.err == nil && v != receiptVersion {
		return r, fmt.Errorf("receipt version %d, this build reads %d: run the same release on every node", v, receiptVersion)
	}
	presence := d.byte()
	r.Presence, r.Called = Presence(presence&^calledFlag), presence&calledFlag != 0
	if r.Presence > Goodbye {
		return r, fmt.Errorf("receipt with unknown presence %d", r.Presence)
	}
	r.Node = d.text()
	r.Epoch = d.varint()
	r.ReadThrough = d.varint()
	r.Delivered = d.runs()
	r.Held = d.runs()
	r.Queued = d.runs()
	if n := d.count(); n > 0 {
		r.Failed = make([]Failure, 0, n)
		for range n {
			r.Failed = append(r.Failed, Failure{Offset: d.varint(), Reason: Reason(d.byte())})
		}
	}
	if n := d.count(); n > 0 {
		r.Connected = make([]Binding, 0, n)
		for range n {
			r.Connected = append(r.Connected, Binding{User: d.text(), Type: d.text(), Saw: d.varint()})
		}
	}
	if d.err == nil && len(d.rest) > 0 {
		d.err = fmt.Errorf("%d bytes after the end of the receipt", len(d.rest))
	}
	if d.err == nil {
		d.err = r.check()
	}
	if d.err != nil {
		return Receipt{}, fmt.Errorf("decoding receipt: %w", d.err)
	}
	return r, nil
}

// check refuses what no gateway writes.
func (r *Receipt) check() error {
	if r.Node == "" {
		return errors.New("no node")
	}
	if r.ReadThrough < 0 {
		return fmt.Errorf("read through %d is negative", r.ReadThrough)
	}
	for _, f := range r.Failed {
		if f.Offset < 0 || !slices.Contains(Failures(), f.Reason) {
			return fmt.Errorf("failure %d at offset %d is none a gateway reports", f.Reason, f.Offset)
		}
	}
	for _, b := range r.Connected {
		if b.User == "" || b.Type == "" {
			return errors.New("a connected session without user or type")
		}
		if b.Saw < 0 || b.Saw > r.ReadThrough {
			return fmt.Errorf("a connected session that saw %d of %d offsets", b.Saw, r.ReadThrough)
		}
	}
	return nil
}

// appendRuns writes sorted, distinct offsets as (count, then gap and length of
// each run).
func appendRuns(dst []byte, offsets []int64) []byte {
	runs := 0
	for i, o := range offsets {
		if i == 0 || o != offsets[i-1]+1 {
			runs++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(runs))
	end := int64(0)
	for i := 0; i < len(offsets); {
		j := i + 1
		for j < len(offsets) && offsets[j] == offsets[j-1]+1 {
			j++
		}
		dst = binary.AppendUvarint(dst, uint64(offsets[i]-end)) //nolint:gosec // sorted: not negative
		dst = binary.AppendUvarint(dst, uint64(j-i))            //nolint:gosec // as above
		end = offsets[j-1] + 1
		i = j
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// decoder reads varints off a byte slice; after the first error it returns zeros.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) byte() byte {
	if d.err != nil || len(d.rest) == 0 {
		d.fail(errShort)
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if d.err != nil || n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if d.err != nil || n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads the length of a list whose items take at least a byte each.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.fail(errShort)
		return 0
	}
	return int(n) //nolint:gosec // bounded by the length of a slice
}

func (d *decoder) text() string {
	n := d.count()
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) runs() []int64 {
	n := d.count()
	var offsets []int64
	next := int64(0)
	for range n {
		gap, length := d.uvarint(), d.uvarint()
		if d.err != nil {
			return nil
		}
		if gap > 1<<62 || length == 0 || length > maxReceiptItems-uint64(len(offsets)) || next+int64(gap) < 0 {
			d.fail(fmt.Errorf("run of %d offsets after a gap of %d", length, gap))
			return nil
		}
		next += int64(gap)
		for range length {
			offsets = append(offsets, next)
			next++
		}
	}
	return offsets
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.rest = nil
}
