package study

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute"

	"vitdecompose/decompose"
	"vitdecompose/experiments/cache"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/memory"
)

// diskContributions are contributions to train an alignment on that do not fit into memory: a [decompose.AlignSource] over
// the chunks of a store, of which a window is in memory. An epoch goes through the chunks in an order that is drawn, and
// through the pictures of each window of them in an order that is drawn again. A chunk is read, and its hash checked, once an
// epoch.
type diskContributions struct {
	store      *cache.Store
	components []string
	dim        int
	window     int // chunks in memory at most
	chunks     []diskChunk
	chunkOf    []int // by picture
	held       int   // chunks in memory now
	asked      int   // how often for a picture
}

// diskChunk is a chunk, for those of its pictures that are used. Their numbers follow one another.
type diskChunk struct {
	first   int   // the position in the data that it begins with
	picture int   // number of the first picture
	index   []int // position in the data of each picture

	values []float32 // [component, n, dim], nil while the chunk is not in memory
	n      int
	rows   []int // of each picture, among the n
	used   int   // diskContributions.asked when a picture of it was asked for last
}

// newDiskContributions reads the pictures of parts, which were read from the store, in chunks of the given number of pictures,
// and chosen from.
func newDiskContributions(store *cache.Store, parts *extraction.Parts, batch, window int) *diskContributions {
	d := &diskContributions{store: store, components: parts.Components, dim: parts.Dim, window: window}
	for picture, position := range parts.Index {
		first := position / batch * batch
		if n := len(d.chunks); n == 0 || d.chunks[n-1].first != first {
			d.chunks = append(d.chunks, diskChunk{first: first, picture: picture})
		}
		chunk := &d.chunks[len(d.chunks)-1]
		chunk.index = parts.Index[chunk.picture : picture+1]
		d.chunkOf = append(d.chunkOf, len(d.chunks)-1)
	}
	return d
}

// windowBytes is how much of contributions is in memory when not all of them fit: enough for thousands of pictures, so that a
// batch is drawn from many chunks. It is halved until it is half of what is free, and so the same in most runs.
const windowBytes = 4 << 30

// windowChunks is how many chunks of the given size make a window, 0 if not even one fits.
func windowChunks(chunk uint64) int {
	window, free := uint64(windowBytes), memory.Free()
	for free > 0 && window > free/2 {
		window /= 2
	}
	return int(window / chunk)
}

// Check implements [decompose.AlignSource]. Numbers are checked when they are read.
func (d *diskContributions) Check() error { return nil }

// Sizes implements [decompose.AlignSource].
func (d *diskContributions) Sizes() (components []string, pictures, dim int) {
	return d.components, len(d.chunkOf), d.dim
}

// Order implements [decompose.AlignSource]. With all chunks in the window it is that of contributions in memory.
func (d *diskContributions) Order(rng *rand.Rand) []int {
	if d.window >= len(d.chunks) {
		return rng.Perm(len(d.chunkOf))
	}
	order := make([]int, 0, len(d.chunkOf))
	for window := range slices.Chunk(rng.Perm(len(d.chunks)), d.window) {
		from := len(order)
		for _, i := range window {
			for k := range d.chunks[i].index {
				order = append(order, d.chunks[i].picture+k)
			}
		}
		pictures := order[from:]
		rng.Shuffle(len(pictures), func(i, j int) { pictures[i], pictures[j] = pictures[j], pictures[i] })
	}
	return order
}

// Picture implements [decompose.AlignSource].
func (d *diskContributions) Picture(picture int, x []float32) error {
	chunk := &d.chunks[d.chunkOf[picture]]
	if chunk.values == nil {
		if err := d.load(chunk); err != nil {
			return err
		}
	}
	d.asked++
	chunk.used = d.asked
	row := chunk.rows[picture-chunk.picture]
	for component := range d.components {
		copy(x[component*d.dim:][:d.dim], chunk.values[(component*chunk.n+row)*d.dim:])
	}
	return nil
}

// load reads a chunk into memory, in the place of the one not asked for the longest: when a window is full, one of the window
// before it.
func (d *diskContributions) load(chunk *diskChunk) error {
	if d.held == d.window {
		var oldest *diskChunk
		for i := range d.chunks {
			if c := &d.chunks[i]; c.values != nil && (oldest == nil || c.used < oldest.used) {
				oldest = c
			}
		}
		oldest.values, oldest.rows = nil, nil
		d.held--
	}
	read, err := d.store.Chunk(chunk.first)
	if err != nil {
		return err
	}
	c := decompose.Contributions{Components: read.Components, Pictures: len(read.Index), Dim: read.Dim(), Values: read.Contributions}
	if err := c.Check(); err != nil {
		return fmt.Errorf("the chunk of picture %d: %w", chunk.first, err)
	}
	rows := make([]int, 0, len(chunk.index))
	for _, position := range chunk.index {
		row, found := slices.BinarySearch(read.Index, position)
		if !found {
			return fmt.Errorf("the chunk of picture %d lost picture %d while it was in use; run it again", chunk.first, position)
		}
		rows = append(rows, row)
	}
	chunk.values, chunk.n, chunk.rows = read.Contributions, len(read.Index), rows
	d.held++
	return nil
}

// cosines maps the contributions, a window at a time, and returns the cosine similarity of each picture's sum with its target
// [picture, clip dim].
func (d *diskContributions) cosines(ctx context.Context, backend compute.Backend, a *decompose.Aligner, targets []float32) ([]float64, error) {
	var cosines []float64
	for window := range slices.Chunk(d.chunks, d.window) {
		first, pictures := window[0].picture, 0
		for _, chunk := range window {
			pictures += len(chunk.index)
		}
		c := &decompose.Contributions{
			Components: d.components, Pictures: pictures, Dim: d.dim, Values: make([]float32, len(d.components)*pictures*d.dim),
		}
		x := make([]float32, len(d.components)*d.dim)
		for picture := range pictures {
			if err := d.Picture(first+picture, x); err != nil {
				return nil, err
			}
			for component := range d.components {
				copy(c.Row(component, picture), x[component*d.dim:])
			}
		}
		mapped, err := a.Map(ctx, backend, c)
		if err != nil {
			return nil, err
		}
		sums := mapped.Total()
		cosines = append(cosines, decompose.Cosines(sums, targets[first*a.ClipDim:][:pictures*a.ClipDim], a.ClipDim)...)
	}
	return cosines, nil
}
