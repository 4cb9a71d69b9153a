package imagenet

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"vitdecompose/data/archive"
)

// numClasses is the number of classes of ImageNet-1k.
const numClasses = 1000

// wnid is what synsets are called by: n and eight digits.
var wnid = regexp.MustCompile(`^n\d{8}$`)

// The files that come with the pictures.
const (
	devkit      = "ILSVRC2012_devkit_t12"
	metaFile    = "meta.mat"
	truthFile   = "ILSVRC2012_validation_ground_truth.txt"
	mappingFile = "LOC_synset_mapping.txt"
	answersFile = "LOC_val_solution.csv"
)

// maxText bounds those files, in bytes; the largest that there is has 5 MB.
const maxText = 64 << 20

// knowledge is what the files beside the pictures say.
type knowledge struct {
	wnids []string // the classes, sorted; nil when not known
	words []string // of each class all synonyms, such as "tench, Tinca tinca"; nil when not known
	// labels gives the class of a picture of the validation set by its number, from 1 on; nil when not known.
	labels func(number int) (int, error)
	// pictures is how many pictures of the validation set there are labels for; 0 when that is not said.
	pictures int
	source   string // of the labels, for messages
}

// index is the class that a synset is.
func (k *knowledge) index(wnid string) (int, bool) { return slices.BinarySearch(k.wnids, wnid) }

// know reads what there is in the first of the directories that has any of it: the development kit, as an archive or
// extracted, or Kaggle's two files. Labels are read if they are needed.
func know(dirs []string, labels bool) (*knowledge, error) {
	for _, dir := range dirs {
		k, err := knowFrom(dir, labels)
		if k != nil || err != nil {
			return k, err
		}
	}
	return &knowledge{}, nil
}

func knowFrom(dir string, labels bool) (*knowledge, error) {
	for _, place := range []string{filepath.Join(dir, devkit, "data"), dir} {
		meta, err := readText(filepath.Join(place, metaFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var truth []byte
		if labels {
			if truth, err = readText(filepath.Join(place, truthFile)); err != nil {
				return nil, err
			}
		}
		return fromKit(place, meta, truth)
	}
	if kit := filepath.Join(dir, devkit+".tar.gz"); exists(kit) {
		meta, truth, err := unpackKit(kit, labels)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kit, err)
		}
		return fromKit(kit, meta, truth)
	}
	if mapping := filepath.Join(dir, mappingFile); exists(mapping) {
		return fromKaggle(dir, labels)
	}
	return nil, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// readText reads a file that must not be large.
func readText(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxText+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxText {
		return nil, fmt.Errorf("%s: is larger than %d MB", path, maxText>>20)
	}
	return content, nil
}

// unpackKit reads two files of the development kit.
func unpackKit(kit string, labels bool) (meta, truth []byte, err error) {
	file, err := os.Open(kit)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	files, err := archive.ReadTarGz(file, archive.Limits{MaxEntries: 1000, MaxBytes: maxText}, func(name string) bool {
		return path.Base(name) == metaFile || path.Base(name) == truthFile
	})
	if err != nil {
		return nil, nil, err
	}
	for name, content := range files {
		if path.Base(name) == metaFile {
			meta = content
		} else {
			truth = content
		}
	}
	if meta == nil || labels && truth == nil {
		return nil, nil, fmt.Errorf("has no %s and %s: it is not the development kit", metaFile, truthFile)
	}
	return meta, truth, nil
}

// fromKit knows what the development kit says. The ground truth may be nil.
func fromKit(kit string, meta, truth []byte) (*knowledge, error) {
	byID, words, err := parseMeta(meta)
	if err != nil {
		return nil, fmt.Errorf("%s: %s %w", kit, metaFile, err)
	}
	k := newKnowledge(byID, words)
	if truth == nil {
		return k, nil
	}
	ids, err := parseTruth(truth)
	if err != nil {
		return nil, fmt.Errorf("%s: %s %w", kit, truthFile, err)
	}
	k.source, k.pictures = kit, len(ids)
	k.labels = func(number int) (int, error) {
		if number < 1 || number > len(ids) {
			return 0, fmt.Errorf("%s has labels of %d pictures", truthFile, len(ids))
		}
		label, _ := k.index(byID[ids[number-1]-1]) // all of them are there
		return label, nil
	}
	return k, nil
}

// newKnowledge sorts the classes.
func newKnowledge(wnids, words []string) *knowledge {
	order := make([]int, len(wnids))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(wnids[a], wnids[b]) })
	k := &knowledge{}
	for _, i := range order {
		k.wnids = append(k.wnids, wnids[i])
		k.words = append(k.words, words[i])
	}
	return k
}

// parseMeta reads the synsets 1 to 1000 of meta.mat. Those that follow are not classes but what classes belong to.
func parseMeta(content []byte) (wnids, words []string, err error) {
	arrays, err := readMAT(content)
	if err != nil {
		return nil, nil, err
	}
	at := slices.IndexFunc(arrays, func(a *array) bool { return a.name == "synsets" })
	if at < 0 {
		return nil, nil, errors.New("has no synsets")
	}
	synsets := arrays[at]
	wnids, words = make([]string, numClasses), make([]string, numClasses)
	seen := map[string]bool{}
	for i := range synsets.structs() {
		id := synsets.field(i, "ILSVRC2012_ID").numbers
		name := synsets.field(i, "WNID").text
		switch {
		case len(id) != 1 || id[0] != math.Trunc(id[0]) || id[0] < 1:
			return nil, nil, fmt.Errorf("has no ILSVRC2012_ID for synset %d", i+1)
		case id[0] > numClasses:
			continue
		case !wnid.MatchString(name):
			return nil, nil, fmt.Errorf("has %.20q as the WNID of synset %d", name, i+1)
		case wnids[int(id[0])-1] != "" || seen[name]:
			return nil, nil, fmt.Errorf("has ILSVRC2012_ID %d or WNID %s twice", int(id[0]), name)
		}
		seen[name] = true
		wnids[int(id[0])-1] = name
		words[int(id[0])-1] = strings.TrimSpace(synsets.field(i, "words").text)
	}
	if missing := slices.Index(wnids, ""); missing >= 0 {
		return nil, nil, fmt.Errorf("has no synset with ILSVRC2012_ID %d: want 1 to %d", missing+1, numClasses)
	}
	return wnids, words, nil
}

// parseTruth reads the ILSVRC2012_ID of each picture of the validation set.
func parseTruth(content []byte) ([]int, error) {
	var ids []int
	for i, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
		id, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || id < 1 || id > numClasses {
			return nil, fmt.Errorf("line %d: %.20q is not an ILSVRC2012_ID from 1 to %d", i+1, strings.TrimSpace(line), numClasses)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// fromKaggle knows what Kaggle's files say.
func fromKaggle(dir string, labels bool) (*knowledge, error) {
	content, err := readText(filepath.Join(dir, mappingFile))
	if err != nil {
		return nil, err
	}
	wnids, words, err := parseMapping(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, mappingFile), err)
	}
	k := newKnowledge(wnids, words)
	if !labels || !exists(filepath.Join(dir, answersFile)) {
		return k, nil
	}
	if content, err = readText(filepath.Join(dir, answersFile)); err != nil {
		return nil, err
	}
	answers, err := parseAnswers(content, k)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, answersFile), err)
	}
	k.source, k.pictures = filepath.Join(dir, answersFile), len(answers)
	k.labels = func(number int) (int, error) {
		label, ok := answers[number]
		if !ok {
			return 0, fmt.Errorf("%s says nothing of picture %d", answersFile, number)
		}
		return label, nil
	}
	return k, nil
}

// parseMapping reads lines such as "n01440764 tench, Tinca tinca".
func parseMapping(content []byte) (wnids, words []string, err error) {
	for i, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
		name, synonyms, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !wnid.MatchString(name) || slices.Contains(wnids, name) || len(wnids) == numClasses {
			return nil, nil, fmt.Errorf("line %d: %.60q: want a synset (nNNNNNNNN) that no line before has, and not more than %d",
				i+1, line, numClasses)
		}
		wnids, words = append(wnids, name), append(words, strings.TrimSpace(synonyms))
	}
	if len(wnids) != numClasses {
		return nil, nil, fmt.Errorf("has %d synsets, ImageNet-1k has %d", len(wnids), numClasses)
	}
	return wnids, words, nil
}

// parseAnswers reads rows such as "ILSVRC2012_val_00048981,n03995372 85 1 499 272": the class, and boxes around it.
func parseAnswers(content []byte, k *knowledge) (map[int]int, error) {
	rows := csv.NewReader(bytes.NewReader(content))
	if header, err := rows.Read(); err != nil || len(header) != 2 {
		return nil, errors.New("want a header with the columns ImageId and PredictionString")
	}
	labels := map[int]int{}
	for {
		row, err := rows.Read()
		if err == io.EOF {
			return labels, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := rows.FieldPos(0)
		number := valNumber(row[0] + ".JPEG")
		synset, _, _ := strings.Cut(row[1], " ")
		label, ok := k.index(synset)
		if _, twice := labels[number]; number < 1 || !ok || twice {
			return nil, fmt.Errorf("line %d: %.60q of %.60q is not a class of a picture that no line before has", line, synset, row[0])
		}
		labels[number] = label
	}
}

// names are the classes in words: the first synonym of each, or more where two would be called the same; the WNIDs where
// no words are known.
func (k *knowledge) names() []string {
	if k.words == nil {
		return slices.Clone(k.wnids)
	}
	names := make([]string, len(k.words))
	for i, words := range k.words {
		names[i], _, _ = strings.Cut(words, ",")
	}
	for _, longer := range []func(i int) string{
		func(i int) string { return k.words[i] },
		func(i int) string { return strings.TrimSpace(k.words[i] + " (" + k.wnids[i] + ")") },
	} {
		count := map[string]int{}
		for _, name := range names {
			count[plainName(name)]++
		}
		for i, name := range names {
			if count[plainName(name)] > 1 || name == "" {
				names[i] = longer(i)
			}
		}
	}
	return names
}

// plainName is what is left of a name where case, spaces, underscores and hyphens do not count.
func plainName(name string) string {
	return strings.NewReplacer(" ", "", "_", "", "-", "").Replace(strings.ToLower(name))
}
