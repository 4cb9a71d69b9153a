//go:build !amd64

package jpeg

var hasAVX2 = false

func inverseAVX2(b *[64]int16, out *byte, stride int) { panic("no AVX2") }

func convertAVX2(out, y, cb, cr *byte, n int) { panic("no AVX2") }
