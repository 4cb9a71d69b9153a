package imagenet

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"vitdecompose/data/archive"
	"vitdecompose/data/csvtable"
	"vitdecompose/data/regularfile"
	"vitdecompose/data/wnid"
)

// The files that come with the pictures.
const (
	devkit      = "ILSVRC2012_devkit_t12"
	truthFile   = "ILSVRC2012_validation_ground_truth.txt"
	answersFile = "LOC_val_solution.csv"
)

// maxText bounds those files, in bytes; the largest that there is has 5 MB.
const maxText = 64 << 20

// truth is the classes of the pictures of the validation set.
type truth struct {
	labels map[int]int // of each picture by its number, from 1 on
	source string      // for messages
}

// findTruth reads what there is in the first of the directories that has any of it: the development kit, as an archive or
// extracted, or Kaggle's answers. It is nil where nothing is found.
func findTruth(dirs []string) (*truth, error) {
	for _, dir := range dirs {
		for _, candidate := range []struct {
			name string
			read func(path string) (map[int]int, error)
		}{
			{filepath.Join(devkit, "data", truthFile), readTruth},
			{truthFile, readTruth},
			{devkit + ".tar.gz", readKit},
			{answersFile, readAnswers},
		} {
			name := filepath.Join(dir, candidate.name)
			labels, err := candidate.read(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			return &truth{labels, name}, nil
		}
	}
	return nil, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func readTruth(path string) (map[int]int, error) {
	content, err := regularfile.Read(path, maxText)
	if err != nil {
		return nil, err
	}
	return parseTruth(content)
}

// readKit reads the ground truth in the archive of the development kit.
func readKit(kit string) (map[int]int, error) {
	file, _, err := regularfile.Open(kit)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	files, err := archive.ReadTarGz(file, archive.Limits{MaxEntries: 1000, MaxBytes: maxText}, func(name string) bool {
		return path.Base(name) == truthFile
	})
	if err != nil {
		return nil, err
	}
	for _, content := range files {
		labels, err := parseTruth(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", truthFile, err)
		}
		return labels, nil
	}
	return nil, fmt.Errorf("has no %s: it is not the development kit", truthFile)
}

// parseTruth reads the ILSVRC2012_ID of each picture of the validation set, one a line.
func parseTruth(content []byte) (map[int]int, error) {
	labels := map[int]int{}
	number := 0
	for line := range strings.Lines(strings.TrimSpace(string(content)) + "\n") {
		number++
		id, err := strconv.Atoi(strings.TrimSpace(line))
		class, ok := wnid.OfKitID(id)
		if err != nil || !ok {
			return nil, fmt.Errorf("line %d: %.20q is not an ILSVRC2012_ID from 1 to %d", number, strings.TrimSpace(line), numClasses)
		}
		labels[number] = class
	}
	return labels, nil
}

func readAnswers(path string) (map[int]int, error) {
	content, err := regularfile.Read(path, maxText)
	if err != nil {
		return nil, err
	}
	return parseAnswers(content)
}

// parseAnswers reads rows such as "ILSVRC2012_val_00048981,n03995372 85 1 499 272": the class, and boxes around it.
func parseAnswers(content []byte) (map[int]int, error) {
	table, err := csvtable.New(bytes.NewReader(content), "ImageId", "PredictionString")
	if err != nil {
		return nil, err
	}
	labels := map[int]int{}
	picture, prediction := table.Column("ImageId"), table.Column("PredictionString")
	err = table.Each(func(line int, row []string) error {
		number := valNumber(row[picture] + ".JPEG")
		synset, _, _ := strings.Cut(row[prediction], " ")
		label, ok := wnid.Index(synset)
		if _, twice := labels[number]; number < 1 || !ok || twice {
			return fmt.Errorf("line %d: %.60q of %.60q is not a class, or an earlier line has the picture already", line, synset, row[picture])
		}
		labels[number] = label
		return nil
	})
	if err == nil && len(labels) == 0 {
		err = errors.New("names no pictures")
	}
	return labels, err
}
