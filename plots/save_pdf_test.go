package plots

import (
	"strings"
	"testing"
)

func TestOrderPicturesRefuses(t *testing.T) {
	const tail = "trailer\n<<\n/Size 2\n>>\nstartxref\n24\n%%EOF\n"
	for want, pdf := range map[string]string{
		"PDF without table of objects":        "%PDF-1.3\n",
		"PDF without object 1":                "%PDF-1.3\n2 0 obj\nendobj\nxref\n0 2\n0000000000 65535 f \n0000000009 00000 n \n" + tail,
		"PDF whose object 1 is at 0000000999": "%PDF-1.3\n1 0 obj\nendobj\nxref\n0 2\n0000000000 65535 f \n0000000999 00000 n \n" + tail,
		"PDF without table of objects ":       "%PDF-1.3\n1 0 obj\nendobj\nxref\n0 2\n",
	} {
		if _, err := orderPictures([]byte(pdf)); err == nil || err.Error() != strings.TrimSpace(want) {
			t.Errorf("%q: error %v, want %s", pdf, err, want)
		}
	}
	good := "%PDF-1.3\n1 0 obj\nendobj\nxref\n0 2\n0000000000 65535 f \n0000000009 00000 n \n" + tail
	got, err := orderPictures([]byte(good))
	if err != nil || !strings.HasPrefix(string(got), good[:60]) {
		t.Errorf("a file without pictures: %v, %q", err, got)
	}
}
