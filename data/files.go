package data

import "vitdecompose/data/picture"

// Files are pictures named one by one, without labels: the files of a command line.
type Files []string

// Len returns the number of pictures.
func (f Files) Len() int { return len(f) }

// Picture decodes picture i. Its errors name the file.
func (f Files) Picture(i int) (*picture.Picture, error) {
	return picture.DecodeFile(f[i], picture.Limits{})
}
