package push

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Carriage is what a custodian brings a gateway in one call: records of one
// partition of the request topic, in their order. The gateway answers with a
// Receipt about them; what it does not list is for a user, or of a type, that has
// no session there.
type Carriage struct {
	Partition int32
	Records   []Record
}

// carriageVersion is the first byte of an encoded carriage.
const carriageVersion = 1

// AppendBinary appends the encoded carriage: a version byte, the partition, how many
// records there are, and of each its offset, its time in Unix milliseconds (what
// Kafka keeps), key, value and headers. Numbers are varints, bytes have their length
// in front, -1 for null.
func (c *Carriage) AppendBinary(dst []byte) []byte {
	dst = append(dst, carriageVersion)
	dst = binary.AppendVarint(dst, int64(c.Partition))
	dst = binary.AppendUvarint(dst, uint64(len(c.Records)))
	for i := range c.Records {
		r := &c.Records[i]
		dst = binary.AppendVarint(dst, r.Offset)
		dst = binary.AppendVarint(dst, r.Time.UnixMilli())
		for _, b := range [][]byte{r.Key, r.Value, r.Headers.raw} {
			dst = appendBytes(dst, b)
		}
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

// DecodeCarriage decodes what AppendBinary wrote. The records alias b.
func DecodeCarriage(b []byte) (Carriage, error) {
	d := decoder{rest: b}
	if v := d.byte(); d.err == nil && v != carriageVersion {
		return Carriage{}, fmt.Errorf("carriage version %d, this build reads %d: run the same release on every node", v, carriageVersion)
	}
	partition := d.varint()
	c := Carriage{Partition: int32(partition)} //nolint:gosec // checked below
	if d.err == nil && (partition < 0 || int64(c.Partition) != partition) {
		d.fail(fmt.Errorf("partition %d", partition))
	}
	for range d.count() {
		r := Record{Partition: c.Partition, Offset: d.varint(), Time: time.UnixMilli(d.varint())}
		r.Key, r.Value, r.Headers.raw = d.bytes(), d.bytes(), d.bytes()
		if d.err != nil {
			break
		}
		if r.Offset < 0 {
			d.fail(fmt.Errorf("offset %d is negative", r.Offset))
		}
		c.Records = append(c.Records, r)
	}
	if d.err == nil && len(d.rest) > 0 {
		d.fail(fmt.Errorf("%d bytes after its end", len(d.rest)))
	}
	if d.err != nil {
		return Carriage{}, fmt.Errorf("decoding carriage: %w", d.err)
	}
	return c, nil
}

var errLength = errors.New("a length that is none")

// bytes reads bytes with their length in front; -1 is null.
func (d *decoder) bytes() []byte {
	n := d.varint()
	switch {
	case d.err != nil || n == -1:
		return nil
	case n < 0:
		d.fail(errLength)
		return nil
	case n > int64(len(d.rest)):
		d.fail(errShort)
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

// Parcel is a request that a custodian has to carry to whoever holds its user.
type Parcel struct {
	Offset     int64
	User, Type string
	// Size of its record in bytes.
	Size int32
}

// Carried is what has been learnt of parcels on their way. Exactly one of its parts
// is set, but for Over, which may stand with any.
type Carried struct {
	// Receipt is the answer of a gateway that was called.
	Receipt *Receipt
	// Failed could not be brought to Node, or nobody knows whether they were.
	Failed []Failure
	Node   string
	// Over are parcels that nothing more will be done about: whatever the gateways
	// have said of each has been told, and if none has it, nobody is there.
	Over []int64
	// Present are sessions of users who were asked about, which no gateway is known
	// to have been called for yet.
	Present []Binding
}
