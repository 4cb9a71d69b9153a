package picture

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
)

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		first := b.enter(60)
		var entered []string
		start := func(name string, n int64) {
			go func() {
				leave := b.enter(n)
				entered = append(entered, name)
				leave()
			}()
			synctest.Wait()
		}
		start("small", 40)
		if len(entered) != 1 {
			t.Fatal("what fits has to wait")
		}
		start("large", 1000)
		if len(entered) != 1 {
			t.Fatal("what does not fit does not wait")
		}
		first()
		synctest.Wait()
		if len(entered) != 2 {
			t.Fatal("what is larger than the limit never enters, though it is alone")
		}
		first() // again, which counts once
		if b.used != 0 {
			t.Errorf("%d are in use when all have left", b.used)
		}
	})
}

// A large picture waits while another is held, and decoding gives back what it took whether it succeeds or not.
func TestHold(t *testing.T) {
	data, err := os.ReadFile("testdata/jpeg420.jpg")
	if err != nil {
		t.Fatal(err)
	}
	before := decoding
	defer func() { decoding = before }()
	synctest.Test(t, func(t *testing.T) {
		decoding = newBudget(1000) // the picture takes 23 * 17 * 3 = 1173
		p, err := Decode(bytes.NewReader(data), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		release := Hold(p)
		if decoding.used != int64(len(p.Pix)) {
			t.Errorf("a held picture of %d bytes counts %d", len(p.Pix), decoding.used)
		}
		done := false
		go func() {
			_, err = Decode(bytes.NewReader(data), Limits{})
			done = true
		}()
		if synctest.Wait(); done {
			t.Error("a second picture was decoded while the first was held")
		}
		release()
		if synctest.Wait(); !done || err != nil {
			t.Errorf("the second picture was not decoded when the first was released: %v", err)
		}
		Hold(nil)()
		for _, r := range references(t) {
			file, err := os.ReadFile("testdata/" + r.name)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{len(file), len(file) * 3 / 4} {
				_, err := Decode(bytes.NewReader(file[:n]), Limits{})
				if decoding.used != 0 {
					t.Fatalf("%s, %d bytes (%v): %d stay in use", r.name, n, err, decoding.used)
				}
			}
		}
	})
}

// What takes more memory than the others for each pixel may have fewer pixels.
func TestMemoryLimit(t *testing.T) {
	const size = 13000 // 169 megapixels: within the limit, as pixels
	progressive := header(t, "jpeg444.jpg", size, size)
	progressive[bytes.Index(progressive, []byte{0xff, 0xc0})+1] = 0xc2
	at := bytes.Index(progressive, []byte{0xff, 0xda})
	progressive[at+11], progressive[at+12] = 0, 0 // its scan is that of the first coefficient
	for name, data := range map[string][]byte{
		"JPEG": append(progressive, make([]byte, 1<<20)...),
		"PNG":  append(header(t, "png_rgba.png", size, size), make([]byte, 1<<20)...),
	} {
		var err error
		n := allocated(func() { _, err = Decode(bytes.NewReader(data), Limits{}) })
		var limit *LimitError
		if !errors.As(err, &limit) || limit.MaxPixels >= size*size || limit.MaxPixels < 80e6 || !strings.Contains(err.Error(), "for a "+name+" file of this kind") {
			t.Errorf("%s: error is %v", name, err)
		}
		if n > 8<<20 {
			t.Errorf("%s: %d bytes were allocated", name, n)
		}
	}
}
