package jpeg

import "golang.org/x/sys/cpu"

// hasAVX2 says whether the functions in assembly can be used. They give the same bytes as those in Go, in a quarter of the time;
// with them, files decode about as fast as with libjpeg-turbo.
var hasAVX2 = cpu.X86.HasAVX2

// inverseAVX2 is [inverse] of a block that is not flat.
//
//go:noescape
func inverseAVX2(b *[64]int16, out *byte, stride int)

// convertAVX2 is [convert3] for n pixels, a multiple of eight and at least eight.
//
//go:noescape
func convertAVX2(out, y, cb, cr *byte, n int)
