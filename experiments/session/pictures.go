package session

import (
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"

	"vitdecompose/data"
	"vitdecompose/data/atomicfile"
	"vitdecompose/experiments/extraction"
)

// Album shows the pictures of a data set as they are.
type Album struct {
	data.Dataset
	Orient bool // turn photos upright by their EXIF orientation
}

// Image returns picture i.
func (a Album) Image(i int) (image.Image, error) {
	p, err := a.Picture(i)
	if err != nil {
		return nil, err
	}
	if a.Orient {
		p = p.Orient()
	}
	return p.Image(), nil
}

// View shows the pictures of an extraction, and their masks, where the model sees them.
type View struct{ extraction.Extraction }

// Image returns picture i, resized and cropped as the model sees it.
func (v View) Image(i int) (image.Image, error) {
	p, err := v.Data.Picture(i)
	if err != nil {
		return nil, err
	}
	if v.Orient {
		p = p.Orient()
	}
	seen, err := v.Model.Preprocess.View(p)
	if err != nil {
		return nil, err
	}
	return seen.Image(), nil
}

// Mask returns the mask of picture i, resized and cropped as the model sees the picture.
func (v View) Mask(i int) (*data.Mask, error) {
	values, err := v.MaskView(i)
	if err != nil {
		return nil, err
	}
	size := v.Model.Preprocess.Size
	return &data.Mask{Width: size[1], Height: size[0], Pix: values}, nil
}

// SavedName is what [Album.SaveFolder] calls picture i.
func SavedName(i int) string { return fmt.Sprintf("%05d.png", i) }

// SaveFolder writes the first n pictures as PNG files, in a sub-folder of dir for each class, and makes the folders: a data
// separate data set, folder:dir.
func (a Album) SaveFolder(dir string, n int) error {
	classes := a.Classes()
	for i := range min(n, a.Len()) {
		item := a.Item(i)
		if item.Label < 0 || item.Label >= len(classes) {
			return fmt.Errorf("picture %d (%s) has no class", i, item.Name)
		}
		picture, err := a.Image(i)
		if err != nil {
			return err
		}
		folder := filepath.Join(dir, classes[item.Label])
		if err := os.MkdirAll(folder, 0o777); err != nil {
			return err
		}
		err = atomicfile.Write(filepath.Join(folder, SavedName(i)), func(w io.Writer) error { return png.Encode(w, picture) })
		if err != nil {
			return err
		}
	}
	return nil
}
