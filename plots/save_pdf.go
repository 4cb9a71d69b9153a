package plots

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// pdfObject is an object of a PDF file.
type pdfObject struct {
	number, offset int
	body           []byte // after "7 0 obj"
}

var (
	pdfEnd     = regexp.MustCompile(`^xref\n0 \d+\n0000000000 65535 f \n((?:\d{10} 00000 n \n)+)(trailer\n(?s:.*)startxref\n)\d+\n%%EOF\n$`)
	pdfNamed   = regexp.MustCompile(`(/I[0-9a-f]+) (\d+) 0 R\n`)
	pdfPicture = []byte("<</Type /XObject\n/Subtype /Image\n")
)

// orderPictures puts the pictures of a PDF file, as fpdf writes it, in the order of their content: fpdf leaves those of
// one width in the order that a map happens to have. It leaves a file as it is in which pictures refer to other objects.
func orderPictures(pdf []byte) ([]byte, error) {
	start := bytes.LastIndex(pdf, []byte("\nxref\n")) + 1
	end := pdfEnd.FindSubmatch(pdf[start:])
	if end == nil {
		return nil, errors.New("PDF without table of objects")
	}
	var objects []pdfObject
	for i, line := range strings.Split(strings.TrimSpace(string(end[1])), "\n") {
		offset, err := strconv.Atoi(line[:10])
		if err != nil || offset > start {
			return nil, fmt.Errorf("PDF whose object %d is at %s", i+1, line[:10])
		}
		objects = append(objects, pdfObject{number: i + 1, offset: offset})
	}
	slices.SortFunc(objects, func(a, b pdfObject) int { return cmp.Compare(a.offset, b.offset) })
	var pictures []pdfObject
	for i := range objects {
		o := &objects[i]
		next := start
		if i+1 < len(objects) {
			next = objects[i+1].offset
		}
		var ok bool
		if o.body, ok = bytes.CutPrefix(pdf[o.offset:next], fmt.Appendf(nil, "%d 0 obj\n", o.number)); !ok {
			return nil, fmt.Errorf("PDF without object %d", o.number)
		}
		if bytes.HasPrefix(o.body, pdfPicture) {
			dictionary, _, _ := bytes.Cut(o.body, []byte("stream\n"))
			if bytes.Contains(dictionary, []byte(" 0 R")) {
				return pdf, nil
			}
			pictures = append(pictures, *o)
		}
	}

	slots := make(map[int]pdfObject) // pictures by their new number
	renamed := make(map[string]int)  // new numbers by old ones
	for i, o := range slices.SortedStableFunc(slices.Values(pictures), func(a, b pdfObject) int { return bytes.Compare(a.body, b.body) }) {
		slots[pictures[i].number] = o
		renamed[strconv.Itoa(o.number)] = pictures[i].number
	}
	out := bytes.NewBuffer(slices.Clone(pdf[:objects[0].offset]))
	offsets := make([]int, len(objects))
	for _, o := range objects {
		offsets[o.number-1] = out.Len()
		body := o.body
		if picture, ok := slots[o.number]; ok {
			body = picture.body
		} else if bytes.HasPrefix(body, []byte("<<\n/ProcSet")) { // the names that pictures are drawn by
			seen := make(map[string]bool)
			body = pdfNamed.ReplaceAllFunc(body, func(line []byte) []byte {
				parts := pdfNamed.FindStringSubmatch(string(line))
				if seen[parts[1]] {
					return nil
				}
				seen[parts[1]] = true
				return fmt.Appendf(nil, "%s %d 0 R\n", parts[1], renamed[parts[2]])
			})
		}
		fmt.Fprintf(out, "%d 0 obj\n%s", o.number, body)
	}
	table := out.Len()
	fmt.Fprintf(out, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, offset := range offsets {
		fmt.Fprintf(out, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(out, "%s%d\n%%%%EOF\n", end[2], table)
	return out.Bytes(), nil
}
