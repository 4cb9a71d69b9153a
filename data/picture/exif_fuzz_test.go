package picture

import "testing"

// Whatever an EXIF block holds says one of the eight orientations.
func FuzzOrientation(f *testing.F) {
	f.Add([]byte("II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"))
	f.Add([]byte("MM\x00*\x00\x00\x00\x08\x00\x02\x01\x12\x00\x03\x00\x00\x00\x04\x00\x00\x00\x0a\x01\x00\x00\x03"))
	f.Fuzz(func(t *testing.T, exif []byte) {
		if o := exifOrientation(exif); o < 1 || o > 8 {
			t.Errorf("orientation %d", o)
		}
	})
}
