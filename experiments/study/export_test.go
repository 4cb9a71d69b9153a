package study

import (
	"context"

	"vitdecompose/decompose"
	"vitdecompose/experiments/extraction"
)

// DiskSource is the source of an alignment from disk, over the pictures of an extraction at these places in the data, with so
// many chunks in memory at most; Held is how many it has there.
type DiskSource struct{ *diskContributions }

func NewDiskSource(ctx context.Context, e extraction.Extraction, window int, drop func(index int) bool) (DiskSource, *decompose.Contributions, error) {
	store, err := e.Extract(ctx)
	if err != nil {
		return DiskSource{}, nil, err
	}
	memory, err := e.Read(ctx, store, true)
	if err != nil {
		return DiskSource{}, nil, err
	}
	parts, err := e.Read(ctx, store, false)
	if err != nil {
		return DiskSource{}, nil, err
	}
	var used []int
	for i, index := range parts.Index {
		if !drop(index) {
			used = append(used, i)
		}
	}
	memory.Choose(used)
	parts.Choose(used)
	return DiskSource{newDiskContributions(store, parts, e.Batch, window)}, &memory.Contributions, nil
}

func (d DiskSource) Held() int   { return d.held }
func (d DiskSource) Chunks() int { return len(d.chunks) }

// HeldBytes counts the contributions in memory.
func (d DiskSource) HeldBytes() (bytes int) {
	for _, c := range d.chunks {
		bytes += 4 * len(c.values)
	}
	return bytes
}
