package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
)

var little = binary.LittleEndian

// Decode converts numbers as they are stored in files, little-endian, to float32: src holds as many of the type as dst has
// room for. The 8-bit floats are not converted.
func Decode(dst []float32, src []byte, dtype DType) error {
	if size := dtype.Size(); size == 0 || len(src) != size*len(dst) {
		return fmt.Errorf("%d bytes are not %d numbers of the type %q", len(src), len(dst), dtype)
	}
	if !decodeFloat(dst, src, dtype) {
		return fmt.Errorf("dtype %s cannot be converted to float32", dtype)
	}
	return nil
}

// decodeFloat converts stored elements to floating point.
func decodeFloat[T float32 | float64](dst []T, src []byte, dtype DType) bool {
	switch dtype {
	case F32:
		for i := range dst {
			dst[i] = T(math.Float32frombits(little.Uint32(src[4*i:])))
		}
	case F16:
		for i := range dst {
			dst[i] = T(halfToFloat(little.Uint16(src[2*i:])))
		}
	case BF16:
		for i := range dst {
			dst[i] = T(math.Float32frombits(uint32(little.Uint16(src[2*i:])) << 16))
		}
	case F64:
		for i := range dst {
			dst[i] = T(math.Float64frombits(little.Uint64(src[8*i:])))
		}
	case U64: // the one integer type that int64 does not hold
		for i := range dst {
			dst[i] = T(little.Uint64(src[8*i:]))
		}
	default:
		return decodeSigned(dst, src, dtype)
	}
	return true
}

// decodeInt converts stored integers to int64. It is false for U64 beyond int64.
func decodeInt(dst []int64, src []byte, dtype DType) bool {
	if dtype != U64 {
		return decodeSigned(dst, src, dtype)
	}
	for i := range dst {
		v := little.Uint64(src[8*i:])
		if v > math.MaxInt64 {
			return false
		}
		dst[i] = int64(v)
	}
	return true
}

// decodeSigned converts the integer types whose values int64 holds, and BOOL.
func decodeSigned[T float32 | float64 | int64](dst []T, src []byte, dtype DType) bool {
	switch dtype {
	case I64:
		for i := range dst {
			dst[i] = T(int64(little.Uint64(src[8*i:])))
		}
	case I32:
		for i := range dst {
			dst[i] = T(int32(little.Uint32(src[4*i:])))
		}
	case U32:
		for i := range dst {
			dst[i] = T(little.Uint32(src[4*i:]))
		}
	case I16:
		for i := range dst {
			dst[i] = T(int16(little.Uint16(src[2*i:])))
		}
	case U16:
		for i := range dst {
			dst[i] = T(little.Uint16(src[2*i:]))
		}
	case I8:
		for i := range dst {
			dst[i] = T(int8(src[i]))
		}
	case U8, Bool:
		for i := range dst {
			dst[i] = T(src[i])
		}
	default:
		return false
	}
	return true
}

// halfToFloat widens an IEEE 754 binary16 number, exactly. Shifting its exponent and fraction to where float32 has them
// leaves the value too small by 2^(127-15), which one product mends, subnormals included.
func halfToFloat(h uint16) float32 {
	const scale = 1 << 112
	bits := uint32(h&0x7fff) << 13
	if h&0x7c00 == 0x7c00 { // infinity, or not a number
		bits |= 0x7f800000
	} else {
		bits = math.Float32bits(math.Float32frombits(bits) * scale)
	}
	return math.Float32frombits(bits | uint32(h&0x8000)<<16)
}

// floatToHalf rounds to the nearest binary16 number, ties to even. Beyond 65504 it gives infinity.
func floatToHalf(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits >> 16 & 0x8000)
	bits &= 0x7fffffff
	switch {
	case bits > 0x7f800000:
		return sign | 0x7e00
	case bits >= 0x477ff000: // 65520, halfway between the largest binary16 number and the one there is not
		return sign | 0x7c00
	case bits < 0x38800000: // below 2^-14: a subnormal, a multiple of 2^-24. The sum rounds to it.
		const shift = 0.5 // float32 numbers at 0.5 lie 2^-24 apart
		return sign | uint16(math.Float32bits(math.Float32frombits(bits)+shift)-math.Float32bits(shift))
	}
	odd := bits >> 13 & 1
	return sign | uint16((bits-(127-15)<<23+0xfff+odd)>>13)
}

// bfloat16 rounds to the nearest bfloat16 number, ties to even.
func bfloat16(f float32) uint16 {
	bits := math.Float32bits(f)
	if f != f {
		return uint16(bits>>16) | 0x40 // stays not a number when the low bits go
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// encodeFloat stores floating-point numbers. A finite value that the type does not hold is an error.
func encodeFloat[T float32 | float64](dst []byte, src []T, dtype DType) error {
	switch dtype {
	case F32:
		for i, v := range src {
			little.PutUint32(dst[4*i:], math.Float32bits(float32(v)))
		}
	case F64:
		for i, v := range src {
			little.PutUint64(dst[8*i:], math.Float64bits(float64(v)))
		}
	case F16:
		for i, v := range src {
			h := floatToHalf(float32(v))
			if h&0x7fff == 0x7c00 && !math.IsInf(float64(v), 0) {
				return fmt.Errorf("%g %w %s", v, ErrTooLarge, dtype)
			}
			little.PutUint16(dst[2*i:], h)
		}
	case BF16:
		for i, v := range src {
			b := bfloat16(float32(v))
			if b&0x7fff == 0x7f80 && !math.IsInf(float64(v), 0) {
				return fmt.Errorf("%g %w %s", v, ErrTooLarge, dtype)
			}
			little.PutUint16(dst[2*i:], b)
		}
	default:
		return fmt.Errorf("floating-point data cannot be stored as %s", dtype)
	}
	return nil
}

// encodeInt stores integers. A value that the type does not hold is an error.
func encodeInt[T int64 | int32 | uint8](dst []byte, src []T, dtype DType) error {
	var low, high int64
	switch dtype {
	case I64:
		low, high = math.MinInt64, math.MaxInt64
	case I32:
		low, high = math.MinInt32, math.MaxInt32
	case I16:
		low, high = math.MinInt16, math.MaxInt16
	case I8:
		low, high = math.MinInt8, math.MaxInt8
	case U64:
		low, high = 0, math.MaxInt64
	case U32:
		low, high = 0, math.MaxUint32
	case U16:
		low, high = 0, math.MaxUint16
	case U8:
		low, high = 0, math.MaxUint8
	case Bool:
		low, high = 0, 1
	default:
		return fmt.Errorf("integers cannot be stored as %s", dtype)
	}
	size := dtype.Size()
	for i, v := range src {
		v := int64(v)
		if v < low || v > high {
			return fmt.Errorf("%d does not fit %s", v, dtype)
		}
		for b := range size {
			dst[i*size+b] = byte(v >> (8 * b))
		}
	}
	return nil
}

// encodeBool stores one byte per value.
func encodeBool(dst []byte, src []bool, _ DType) error {
	for i, v := range src {
		dst[i] = 0
		if v {
			dst[i] = 1
		}
	}
	return nil
}
