#include "textflag.h"

// func add4AVX2(sums *int32, a, b, c, d *byte, w *[4]int32, n int)
TEXT ·add4AVX2(SB), NOSPLIT, $0-56
	MOVQ         sums+0(FP), DI
	MOVQ         a+8(FP), R8
	MOVQ         b+16(FP), R9
	MOVQ         c+24(FP), R10
	MOVQ         d+32(FP), R11
	MOVQ         w+40(FP), AX
	MOVQ         n+48(FP), CX
	VPBROADCASTD (AX), Y8
	VPBROADCASTD 4(AX), Y9
	VPBROADCASTD 8(AX), Y10
	VPBROADCASTD 12(AX), Y11
	XORQ         BX, BX

loop:
	VPMOVZXBD (R8)(BX*1), Y0
	VPMOVZXBD (R9)(BX*1), Y1
	VPMOVZXBD (R10)(BX*1), Y2
	VPMOVZXBD (R11)(BX*1), Y3
	VPMULLD   Y8, Y0, Y0
	VPMULLD   Y9, Y1, Y1
	VPMULLD   Y10, Y2, Y2
	VPMULLD   Y11, Y3, Y3
	VPADDD    Y1, Y0, Y0
	VPADDD    Y3, Y2, Y2
	VPADDD    (DI)(BX*4), Y0, Y0
	VPADDD    Y2, Y0, Y0
	VMOVDQU   Y0, (DI)(BX*4)
	ADDQ      $8, BX
	CMPQ      BX, CX
	JLT       loop
	VZEROUPPER
	RET

// func clip8AVX2(dst *byte, sums *int32, n int)
TEXT ·clip8AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ sums+8(FP), SI
	MOVQ n+16(FP), CX

clip:
	VMOVDQU      (SI), Y0
	VPSRAD       $22, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPACKSSDW    X1, X0, X0
	VPACKUSWB    X0, X0, X0
	VMOVQ        X0, (DI)
	ADDQ         $32, SI
	ADDQ         $8, DI
	SUBQ         $8, CX
	JNE          clip
	VZEROUPPER
	RET

// Lanes of eight bytes for two pixels of three samples, and of two weights.
DATA pixels<>+0(SB)/8, $0x0000000100000000
DATA pixels<>+8(SB)/8, $0x0000000200000002
DATA pixels<>+16(SB)/8, $0x0000000400000003
DATA pixels<>+24(SB)/8, $0x0000000500000005
GLOBL pixels<>(SB), RODATA|NOPTR, $32

DATA pair<>+0(SB)/8, $0x0000000000000000
DATA pair<>+8(SB)/8, $0x0000000000000000
DATA pair<>+16(SB)/8, $0x0000000100000001
DATA pair<>+24(SB)/8, $0x0000000100000001
GLOBL pair<>(SB), RODATA|NOPTR, $32

// Half of the last place, once for the two pixels that are added in the end.
DATA rounding<>+0(SB)/8, $0x0020000000200000
DATA rounding<>+8(SB)/8, $0x0020000000200000
DATA rounding<>+16(SB)/8, $0
DATA rounding<>+24(SB)/8, $0
GLOBL rounding<>(SB), RODATA|NOPTR, $32

// func horizontal3AVX2(dst, src *byte, first, count *int, weights *int32, size, n int)
TEXT ·horizontal3AVX2(SB), NOSPLIT, $0-56
	MOVQ    dst+0(FP), DI
	MOVQ    src+8(FP), SI
	MOVQ    first+16(FP), R8
	MOVQ    count+24(FP), R9
	MOVQ    weights+32(FP), R10
	MOVQ    size+40(FP), R11
	MOVQ    n+48(FP), CX
	VMOVDQU pixels<>(SB), Y8
	VMOVDQU pair<>(SB), Y9
	VMOVDQU rounding<>(SB), Y10

sample:
	MOVQ    (R8), AX
	LEAQ    (AX)(AX*2), AX
	ADDQ    SI, AX
	MOVQ    (R9), BX
	MOVQ    R10, DX
	VMOVDQA Y10, Y0
	SUBQ    $2, BX
	JLT     odd

two:
	VPMOVZXBD    (AX), Y1
	VPERMD       Y1, Y8, Y1
	VPBROADCASTQ (DX), Y2
	VPERMD       Y2, Y9, Y2
	VPMULLD      Y2, Y1, Y1
	VPADDD       Y1, Y0, Y0
	ADDQ         $6, AX
	ADDQ         $8, DX
	SUBQ         $2, BX
	JGE          two

odd:
	CMPQ      BX, $-1
	JNE       done
	VPMOVZXBD (AX), Y1
	VPERMD    Y1, Y8, Y1
	VMOVD     (DX), X2
	VPERMD    Y2, Y9, Y2
	VPMULLD   Y2, Y1, Y1
	VPADDD    Y1, Y0, Y0

done:
	VEXTRACTI128 $1, Y0, X1
	VPADDD       X1, X0, X0
	VPSRAD       $22, X0, X0
	VPACKSSDW    X0, X0, X0
	VPACKUSWB    X0, X0, X0
	VMOVD        X0, AX
	MOVW         AX, (DI)
	SHRL         $16, AX
	MOVB         AX, 2(DI)
	ADDQ         $3, DI
	ADDQ         $8, R8
	ADDQ         $8, R9
	LEAQ         (R10)(R11*4), R10
	DECQ         CX
	JNE          sample
	VZEROUPPER
	RET
