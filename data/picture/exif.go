package picture

import "encoding/binary"

// tiffOrientation is the tag of the orientation, in EXIF as in TIFF, whose structure EXIF borrows.
const tiffOrientation = 0x0112

// exifOrientation returns the orientation, 1 to 8, from an EXIF block (a TIFF header and its first directory), 1 when the
// block says nothing usable: orientation is a hint, so a damaged block is no reason to refuse a picture.
func exifOrientation(exif []byte) int {
	v, ok := tiffTag(exif, tiffOrientation)
	if !ok || v < 1 || v > 8 {
		return 1
	}
	return int(v)
}

// tiffTag returns the first value of a SHORT tag of the first directory of a TIFF structure.
func tiffTag(data []byte, tag uint16) (uint16, bool) {
	if len(data) < 8 {
		return 0, false
	}
	var order binary.ByteOrder
	switch string(data[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 0, false
	}
	at := int64(order.Uint32(data[4:]))
	if at+2 > int64(len(data)) {
		return 0, false
	}
	entries := data[at+2:]
	for range order.Uint16(data[at:]) {
		if len(entries) < 12 {
			return 0, false
		}
		if order.Uint16(entries) == tag {
			const short = 3
			if order.Uint16(entries[2:]) != short {
				return 0, false
			}
			switch n := order.Uint32(entries[4:]); {
			case n == 0:
				return 0, false
			case n <= 2: // two SHORTs fit in the entry itself
				return order.Uint16(entries[8:]), true
			}
			at := int64(order.Uint32(entries[8:]))
			if at+2 > int64(len(data)) {
				return 0, false
			}
			return order.Uint16(data[at:]), true
		}
		entries = entries[12:]
	}
	return 0, false
}
