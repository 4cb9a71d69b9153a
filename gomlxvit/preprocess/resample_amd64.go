package preprocess

import "golang.org/x/sys/cpu"

// hasAVX2 says whether the functions in assembly can be used. They give the same bytes as those in Go.
var hasAVX2 = cpu.X86.HasAVX2

// add4AVX2 is [add4] for n samples, a multiple of eight and at least eight.
//
//go:noescape
func add4AVX2(sums *int32, a, b, c, d *byte, w *[4]int32, n int)

// clip8AVX2 is [clip8] of n sums, a multiple of eight and at least eight.
//
//go:noescape
func clip8AVX2(dst *byte, sums *int32, n int)

// horizontal3AVX2 is [horizontal3] for n outputs, at least one, of taps with size weights each. It reads five bytes beyond the
// samples that an output needs.
//
//go:noescape
func horizontal3AVX2(dst, src *byte, first, count *int, weights *int32, size, n int)
