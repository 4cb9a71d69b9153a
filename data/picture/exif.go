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
	order, entry := tiffEntry(data, tag)
	if entry == nil {
		return 0, false
	}
	const short = 3
	if order.Uint16(entry[2:]) != short {
		return 0, false
	}
	switch n := order.Uint32(entry[4:]); {
	case n == 0:
		return 0, false
	case n <= 2: // two SHORTs fit in the entry itself
		return order.Uint16(entry[8:]), true
	}
	at := int64(order.Uint32(entry[8:]))
	if at+2 > int64(len(data)) {
		return 0, false
	}
	return order.Uint16(data[at:]), true
}

// tiffNumber returns the value of a tag that is a single SHORT or LONG.
func tiffNumber(data []byte, tag uint16) (uint32, bool) {
	const long = 4
	if order, entry := tiffEntry(data, tag); entry != nil && order.Uint16(entry[2:]) == long && order.Uint32(entry[4:]) == 1 {
		return order.Uint32(entry[8:]), true
	}
	v, ok := tiffTag(data, tag)
	return uint32(v), ok
}

// tiffCount returns how many values a tag of the first directory has, 0 without that tag.
func tiffCount(data []byte, tag uint16) int {
	order, entry := tiffEntry(data, tag)
	if entry == nil {
		return 0
	}
	return int(order.Uint32(entry[4:]))
}

// tiffEntry returns the twelve bytes of a tag in the first directory of a TIFF structure, nil when it has none.
func tiffEntry(data []byte, tag uint16) (order binary.ByteOrder, entry []byte) {
	if len(data) < 8 {
		return nil, nil
	}
	switch string(data[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return nil, nil
	}
	at := int64(order.Uint32(data[4:]))
	if at+2 > int64(len(data)) {
		return nil, nil
	}
	entries := data[at+2:]
	for range order.Uint16(data[at:]) {
		if len(entries) < 12 {
			return nil, nil
		}
		if order.Uint16(entries) == tag {
			return order, entries[:12]
		}
		entries = entries[12:]
	}
	return nil, nil
}
