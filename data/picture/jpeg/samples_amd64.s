#include "textflag.h"

// Each constant fills the eight lanes of a register.
#define LANES(name, v) \
	DATA name<>+0(SB)/8, $((v)<<32|(v)); \
	DATA name<>+8(SB)/8, $((v)<<32|(v)); \
	DATA name<>+16(SB)/8, $((v)<<32|(v)); \
	DATA name<>+24(SB)/8, $((v)<<32|(v)); \
	GLOBL name<>(SB), RODATA|NOPTR, $32

LANES(c0541, 4433)
LANES(c1847, 15137)
LANES(c0765, 6270)
LANES(c1175, 9633)
LANES(c1961, 16069)
LANES(c0390, 3196)
LANES(c0899, 7373)
LANES(c2562, 20995)
LANES(c0298, 2446)
LANES(c2053, 16819)
LANES(c3072, 25172)
LANES(c1501, 12299)
LANES(round1, 1024)
LANES(round2, 33685504)
LANES(centre, 128)
LANES(half, 32768)
LANES(crRed, 91881)
LANES(cbBlue, 116130)
LANES(cbGreen, 22554)
LANES(crGreen, 46802)

// In each half, bytes of four columns become bytes of four rows.
DATA transpose4<>+0(SB)/8, $0x0d0905010c080400
DATA transpose4<>+8(SB)/8, $0x0f0b07030e0a0602
DATA transpose4<>+16(SB)/8, $0x0d0905010c080400
DATA transpose4<>+24(SB)/8, $0x0f0b07030e0a0602
GLOBL transpose4<>(SB), RODATA|NOPTR, $32

// In each half, four bytes each of red, green and blue become four pixels.
DATA pixels4<>+0(SB)/8, $0x0602090501080400
DATA pixels4<>+8(SB)/8, $0x808080800b07030a
DATA pixels4<>+16(SB)/8, $0x0602090501080400
DATA pixels4<>+24(SB)/8, $0x808080800b07030a
GLOBL pixels4<>(SB), RODATA|NOPTR, $32

// PASS transforms eight columns at a time: lane x of Y0 to Y7 is column x from top to bottom, of Y8 to Y15 what it becomes. The
// steps and their names are those of inverseColumns.
#define PASS(round, shift) \
	VPADDD  Y6, Y2, Y8 \
	VPMULLD c0541<>(SB), Y8, Y8 \
	VPMULLD c1847<>(SB), Y6, Y6 \
	VPSUBD  Y6, Y8, Y9 \
	VPMULLD c0765<>(SB), Y2, Y2 \
	VPADDD  Y2, Y8, Y8 \
	VPADDD  Y4, Y0, Y10 \
	VPSUBD  Y4, Y0, Y11 \
	VPSLLD  $13, Y10, Y10 \
	VPSLLD  $13, Y11, Y11 \
	VPADDD  round<>(SB), Y10, Y10 \
	VPADDD  round<>(SB), Y11, Y11 \
	VPADDD  Y8, Y10, Y0 \
	VPSUBD  Y8, Y10, Y4 \
	VPADDD  Y9, Y11, Y2 \
	VPSUBD  Y9, Y11, Y6 \
	VPADDD  Y3, Y7, Y8 \
	VPADDD  Y1, Y5, Y9 \
	VPADDD  Y8, Y9, Y10 \
	VPMULLD c1175<>(SB), Y10, Y10 \
	VPMULLD c1961<>(SB), Y8, Y8 \
	VPSUBD  Y8, Y10, Y8 \
	VPMULLD c0390<>(SB), Y9, Y9 \
	VPSUBD  Y9, Y10, Y9 \
	VPADDD  Y1, Y7, Y10 \
	VPMULLD c0899<>(SB), Y10, Y10 \
	VPADDD  Y3, Y5, Y11 \
	VPMULLD c2562<>(SB), Y11, Y11 \
	VPMULLD c0298<>(SB), Y7, Y7 \
	VPSUBD  Y10, Y7, Y7 \
	VPADDD  Y8, Y7, Y7 \
	VPMULLD c2053<>(SB), Y5, Y5 \
	VPSUBD  Y11, Y5, Y5 \
	VPADDD  Y9, Y5, Y5 \
	VPMULLD c3072<>(SB), Y3, Y3 \
	VPSUBD  Y11, Y3, Y3 \
	VPADDD  Y8, Y3, Y3 \
	VPMULLD c1501<>(SB), Y1, Y1 \
	VPSUBD  Y10, Y1, Y1 \
	VPADDD  Y9, Y1, Y1 \
	VPADDD  Y1, Y0, Y8 \
	VPSUBD  Y1, Y0, Y15 \
	VPADDD  Y3, Y2, Y9 \
	VPSUBD  Y3, Y2, Y14 \
	VPADDD  Y5, Y6, Y10 \
	VPSUBD  Y5, Y6, Y13 \
	VPADDD  Y7, Y4, Y11 \
	VPSUBD  Y7, Y4, Y12 \
	VPSRAD  $shift, Y8, Y8 \
	VPSRAD  $shift, Y9, Y9 \
	VPSRAD  $shift, Y10, Y10 \
	VPSRAD  $shift, Y11, Y11 \
	VPSRAD  $shift, Y12, Y12 \
	VPSRAD  $shift, Y13, Y13 \
	VPSRAD  $shift, Y14, Y14 \
	VPSRAD  $shift, Y15, Y15

// func inverseAVX2(b *[64]int16, out *byte, stride int)
TEXT ·inverseAVX2(SB), NOSPLIT, $0-24
	MOVQ b+0(FP), SI
	MOVQ out+8(FP), DI
	MOVQ stride+16(FP), DX
	VPMOVSXWD (SI), Y0
	VPMOVSXWD 16(SI), Y1
	VPMOVSXWD 32(SI), Y2
	VPMOVSXWD 48(SI), Y3
	VPMOVSXWD 64(SI), Y4
	VPMOVSXWD 80(SI), Y5
	VPMOVSXWD 96(SI), Y6
	VPMOVSXWD 112(SI), Y7
	VPXOR     Y8, Y8, Y8
	VMOVDQU   Y8, (SI)
	VMOVDQU   Y8, 32(SI)
	VMOVDQU   Y8, 64(SI)
	VMOVDQU   Y8, 96(SI)
	PASS(round1, 11)

	// Rows become columns.
	VPUNPCKLDQ  Y9, Y8, Y0
	VPUNPCKHDQ  Y9, Y8, Y1
	VPUNPCKLDQ  Y11, Y10, Y2
	VPUNPCKHDQ  Y11, Y10, Y3
	VPUNPCKLDQ  Y13, Y12, Y4
	VPUNPCKHDQ  Y13, Y12, Y5
	VPUNPCKLDQ  Y15, Y14, Y6
	VPUNPCKHDQ  Y15, Y14, Y7
	VPUNPCKLQDQ Y2, Y0, Y8
	VPUNPCKHQDQ Y2, Y0, Y9
	VPUNPCKLQDQ Y3, Y1, Y10
	VPUNPCKHQDQ Y3, Y1, Y11
	VPUNPCKLQDQ Y6, Y4, Y12
	VPUNPCKHQDQ Y6, Y4, Y13
	VPUNPCKLQDQ Y7, Y5, Y14
	VPUNPCKHQDQ Y7, Y5, Y15
	VPERM2I128  $0x20, Y12, Y8, Y0
	VPERM2I128  $0x20, Y13, Y9, Y1
	VPERM2I128  $0x20, Y14, Y10, Y2
	VPERM2I128  $0x20, Y15, Y11, Y3
	VPERM2I128  $0x31, Y12, Y8, Y4
	VPERM2I128  $0x31, Y13, Y9, Y5
	VPERM2I128  $0x31, Y14, Y10, Y6
	VPERM2I128  $0x31, Y15, Y11, Y7
	PASS(round2, 18)

	// Limited to bytes, and columns become rows.
	VPACKSSDW    Y9, Y8, Y0
	VPACKSSDW    Y11, Y10, Y1
	VPACKSSDW    Y13, Y12, Y2
	VPACKSSDW    Y15, Y14, Y3
	VPACKUSWB    Y1, Y0, Y4
	VPACKUSWB    Y3, Y2, Y5
	VPSHUFB      transpose4<>(SB), Y4, Y4
	VPSHUFB      transpose4<>(SB), Y5, Y5
	VPUNPCKLDQ   Y5, Y4, Y6
	VPUNPCKHDQ   Y5, Y4, Y7
	VEXTRACTI128 $1, Y6, X8
	VEXTRACTI128 $1, Y7, X9
	VMOVQ        X6, (DI)
	VPEXTRQ      $1, X6, (DI)(DX*1)
	LEAQ         (DI)(DX*2), DI
	VMOVQ        X7, (DI)
	VPEXTRQ      $1, X7, (DI)(DX*1)
	LEAQ         (DI)(DX*2), DI
	VMOVQ        X8, (DI)
	VPEXTRQ      $1, X8, (DI)(DX*1)
	LEAQ         (DI)(DX*2), DI
	VMOVQ        X9, (DI)
	VPEXTRQ      $1, X9, (DI)(DX*1)
	VZEROUPPER
	RET

// func convertAVX2(out, y, cb, cr *byte, n int)
TEXT ·convertAVX2(SB), NOSPLIT, $0-40
	MOVQ    out+0(FP), DI
	MOVQ    y+8(FP), SI
	MOVQ    cb+16(FP), AX
	MOVQ    cr+24(FP), BX
	MOVQ    n+32(FP), CX
	VMOVDQU centre<>(SB), Y15
	VMOVDQU half<>(SB), Y14
	VMOVDQU crRed<>(SB), Y13
	VMOVDQU cbBlue<>(SB), Y12
	VMOVDQU cbGreen<>(SB), Y11
	VMOVDQU crGreen<>(SB), Y10
	VMOVDQU pixels4<>(SB), Y9

loop:
	VPMOVZXBD (SI), Y0
	VPMOVZXBD (AX), Y1
	VPMOVZXBD (BX), Y2
	VPSUBD    Y15, Y1, Y1
	VPSUBD    Y15, Y2, Y2
	VPMULLD   Y13, Y2, Y3
	VPADDD    Y14, Y3, Y3
	VPSRAD    $16, Y3, Y3
	VPADDD    Y0, Y3, Y3
	VPMULLD   Y12, Y1, Y4
	VPADDD    Y14, Y4, Y4
	VPSRAD    $16, Y4, Y4
	VPADDD    Y0, Y4, Y4
	VPMULLD   Y11, Y1, Y1
	VPMULLD   Y10, Y2, Y2
	VPADDD    Y1, Y2, Y2
	VPSUBD    Y2, Y14, Y2
	VPSRAD    $16, Y2, Y2
	VPADDD    Y0, Y2, Y2
	VPACKSSDW Y2, Y3, Y3
	VPACKSSDW Y4, Y4, Y4
	VPACKUSWB Y4, Y3, Y3
	VPSHUFB   Y9, Y3, Y3

	// Twelve bytes of each half.
	VMOVDQU      X3, (DI)
	VEXTRACTI128 $1, Y3, X4
	VMOVQ        X4, 12(DI)
	VPEXTRD      $2, X4, 20(DI)
	ADDQ         $24, DI
	ADDQ         $8, SI
	ADDQ         $8, AX
	ADDQ         $8, BX
	SUBQ         $8, CX
	JNE          loop
	VZEROUPPER
	RET
