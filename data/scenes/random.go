package scenes

import (
	"math/bits"
	"math/rand/v2"
)

// source is the randomness of one scene. Every draw is integer arithmetic on a
// fixed generator (PCG-DXSM), so that a scene has the same bytes on every
// platform and in every Go release.
type source struct{ pcg *rand.PCG }

// newSource seeds a generator from the stream's seed, the picture's index and
// the part of the picture it is for: different parts draw independently, so
// that one of them can change without moving the others.
func newSource(seed, index uint64, part uint64) *source {
	h := mix(mix(mix(seed)+index) + part)
	return &source{rand.NewPCG(h, mix(h))}
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// intn is uniform over 0..n-1; the bias of the multiplication, n/2^64, is far
// below anything a scene could show.
func (s *source) intn(n int) int {
	hi, _ := bits.Mul64(s.pcg.Uint64(), uint64(n))
	return int(hi)
}

// between is uniform over lo..hi, both included.
func (s *source) between(lo, hi int) int { return lo + s.intn(hi-lo+1) }

// chance is true with the given probability in percent.
func (s *source) chance(percent int) bool { return s.intn(100) < percent }

// jitter is uniform over -n..n.
func (s *source) jitter(n int) int { return s.between(-n, n) }

// lattice is a hash of a grid point, 0..255, for value noise.
func lattice(key uint32, x, y int) int {
	h := key ^ uint32(x)*0x85ebca6b ^ uint32(y)*0xc2b2ae35
	h = (h ^ h>>16) * 0x7feb352d
	h = (h ^ h>>15) * 0x846ca68b
	return int(h>>16) & 255
}

// noiseRow is value noise along one row, 0..255: a lattice of random values at
// every 1<<shift positions, interpolated bilinearly. It remembers the cell that
// it is in, because neighbours are asked for one after the other.
type noiseRow struct {
	key         uint32
	y, fy       int
	shift       uint
	cell        int
	left, right int
}

func newNoiseRow(key uint32, y int, shift uint) noiseRow {
	return noiseRow{key: key, y: y >> shift, fy: y & (1<<shift - 1), shift: shift, cell: -1 << 30}
}

func (n *noiseRow) at(x int) int {
	if cell := x >> n.shift; cell != n.cell {
		if cell == n.cell+1 {
			n.left = n.right
		} else {
			n.left = n.column(cell)
		}
		n.right = n.column(cell + 1)
		n.cell = cell
	}
	fx := x & (1<<n.shift - 1)
	return (n.left<<n.shift + (n.right-n.left)*fx) >> (2 * n.shift)
}

func (n *noiseRow) column(x int) int {
	top, bottom := lattice(n.key, x, n.y), lattice(n.key, x, n.y+1)
	return top<<n.shift + (bottom-top)*n.fy
}
