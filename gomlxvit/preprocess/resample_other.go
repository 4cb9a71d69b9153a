//go:build !amd64

package preprocess

var hasAVX2 = false

func add4AVX2(sums *int32, a, b, c, d *byte, w *[4]int32, n int) { panic("no AVX2") }

func clip8AVX2(dst *byte, sums *int32, n int) { panic("no AVX2") }

func horizontal3AVX2(dst, src *byte, first, count *int, weights *int32, size, n int) {
	panic("no AVX2")
}
