package deadletter

import (
	"cmp"
	"context"
	"io"
	"slices"

	"pushgate/internal/operations"
)

// picked brings letters that were named by their places.
type picked struct {
	store   *Store
	handled *operations.Letters
	places  []Place // still to be read
	// missing is how many of them there are not.
	missing int

	reader    Reader
	partition int32
}

// pick orders places as they stand in the log, each once.
func pick(places []Place) []Place {
	list := slices.Clone(places)
	slices.SortFunc(list, func(a, b Place) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return slices.Compact(list)
}

// next returns io.EOF at the end; what is not there is passed over.
func (p *picked) next(ctx context.Context) (Letter, error) {
	for len(p.places) > 0 {
		at := p.places[0]
		p.places = p.places[1:]
		if p.reader == nil || p.partition != at.Partition {
			p.close()
			p.reader, p.partition = p.store.log.NewReader(p.store.topics.DeadLetter, at.Partition, at.Offset), at.Partition
		}
		rec, found, err := p.store.find(ctx, p.reader, at)
		if err != nil {
			return Letter{}, err
		}
		if found {
			return letterOf(rec, at.Partition, p.handled)
		}
		p.missing++
	}
	return Letter{}, io.EOF
}

func (p *picked) close() {
	if p.reader != nil {
		p.reader.Close()
	}
}
