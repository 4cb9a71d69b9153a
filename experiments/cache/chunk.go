package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"vitdecompose/gomlxvit/safetensors"
)

// Chunk is the decomposition of some pictures that follow one another in the data.
type Chunk struct {
	// First is the position of the first picture the chunk covers, a multiple of Key.Batch.
	First int
	// Index is the position of each of its n pictures, increasing. Pictures that could not be read are left out, all
	// of them if need be.
	Index []int
	// Components names the components, the same in every chunk.
	Components []string
	// Contributions is [component, n, dim], Representation [n, dim], Logits [n, class] or nil without a head.
	Contributions, Representation, Logits []float32
}

// Dim returns the dimension of the representation; 0 in a chunk without pictures.
func (c Chunk) Dim() int { return c.shape().dim }

// Classes returns the number of logits of a picture; 0 without a head, and in a chunk without pictures.
func (c Chunk) Classes() int { return c.shape().classes }

// shape is what all chunks of a store have in common, but for n.
type shape struct {
	components      []string
	n, dim, classes int
}

func (c Chunk) shape() shape {
	s := shape{components: c.Components, n: len(c.Index)}
	if s.n > 0 {
		s.dim, s.classes = len(c.Representation)/s.n, len(c.Logits)/s.n
	}
	return s
}

// agree reports whether chunks of these shapes can be of one store.
func (s shape) agree(t shape) bool {
	return slices.Equal(s.components, t.components) &&
		(s.n == 0 || t.n == 0 || s.dim == t.dim && s.classes == t.classes)
}

// check returns what is wrong with a chunk for a key, if anything.
func (c Chunk) check(key Key) error {
	if err := checkIndex(c.First, c.Index, key); err != nil {
		return err
	}
	s := c.shape()
	switch {
	case len(c.Components) == 0:
		return errors.New("no components")
	case s.n > 0 && s.dim == 0:
		return errors.New("no representation")
	case len(c.Representation) != s.n*s.dim:
		return fmt.Errorf("a representation of %d numbers for %d pictures", len(c.Representation), s.n)
	case len(c.Contributions) != len(c.Components)*s.n*s.dim:
		return fmt.Errorf("%d numbers of contributions, want %d components x %d pictures x %d", len(c.Contributions), len(c.Components), s.n, s.dim)
	case len(c.Logits) != s.n*s.classes:
		return fmt.Errorf("%d logits for %d pictures", len(c.Logits), s.n)
	}
	return nil
}

func checkIndex(first int, index []int, key Key) error {
	if first < 0 || first >= key.Pictures || first%key.Batch != 0 {
		return fmt.Errorf("no chunk begins with picture %d: want a multiple of %d below %d", first, key.Batch, key.Pictures)
	}
	before := first - 1
	for _, i := range index {
		if i <= before || i >= min(first+key.Batch, key.Pictures) {
			return fmt.Errorf("picture %d in the chunk of %d to %d, after picture %d", i, first, min(first+key.Batch, key.Pictures)-1, before)
		}
		before = i
	}
	return nil
}

// Names in a chunk file.
const (
	contributionsTensor  = "contributions"
	representationTensor = "representation"
	logitsTensor         = "logits"
	indexTensor          = "index"

	keyEntry        = "key" // hash of the key
	firstEntry      = "first"
	componentsEntry = "components"
)

func chunkName(first int, sum string) string {
	return fmt.Sprintf("chunk-%08d-%s.safetensors", first, sum)
}

var chunkPattern = regexp.MustCompile(`^chunk-([0-9]{8,18})-([0-9a-f]{64})\.safetensors$`)

// parseChunkName is the inverse of chunkName.
func parseChunkName(name string) (first int, sum string, ok bool) {
	parts := chunkPattern.FindStringSubmatch(name)
	if parts == nil {
		return 0, "", false
	}
	first, err := strconv.Atoi(parts[1])
	return first, parts[2], err == nil
}

// temporary names are these around a random number; those of atomicfile have the same beginning and end.
const (
	temporaryPrefix = "."
	temporarySuffix = ".tmp"
)

func isTemporary(name string) bool {
	return strings.HasPrefix(name, temporaryPrefix) && strings.HasSuffix(name, temporarySuffix)
}

// write writes a checked chunk into dir and returns the name of its file.
func (c Chunk) write(dir, keyHash, keep string) (name string, err error) {
	components, err := json.Marshal(c.Components)
	if err != nil {
		return "", err
	}
	s := c.shape()
	index := make([]int64, s.n)
	for i, position := range c.Index {
		index[i] = int64(position)
	}
	tensors := []safetensors.Tensor{
		{Name: contributionsTensor, Shape: []int{len(s.components), s.n, s.dim}, Data: kept(c.Contributions, keep)},
		{Name: representationTensor, Shape: []int{s.n, s.dim}, Data: c.Representation},
		{Name: indexTensor, Shape: []int{s.n}, Data: index},
	}
	if c.Logits != nil {
		tensors = append(tensors, safetensors.Tensor{Name: logitsTensor, Shape: []int{s.n, s.classes}, Data: c.Logits})
	}
	metadata := map[string]string{keyEntry: keyHash, firstEntry: strconv.Itoa(c.First), componentsEntry: string(components)}

	temporary := filepath.Join(dir, temporaryPrefix+"chunk-"+strconv.FormatUint(rand.Uint64(), 36)+temporarySuffix)
	defer func() {
		if err != nil {
			err = errors.Join(err, removeIfThere(temporary))
		}
	}()
	if err := safetensors.Write(temporary, metadata, tensors); err != nil {
		return "", err
	}
	file, err := os.Open(temporary)
	if err != nil {
		return "", err
	}
	sum, err := hashFile(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	name = chunkName(c.First, sum)
	return name, os.Rename(temporary, filepath.Join(dir, name))
}

// kept makes the numbers be stored as the type of [Key.Keep].
func kept(numbers []float32, keep string) any {
	switch keep {
	case Float16:
		return safetensors.Half(numbers)
	case BFloat16:
		return safetensors.BFloat16(numbers)
	}
	return numbers
}

// keptAs is the type of contributions in a chunk file.
func keptAs(keep string) safetensors.DType {
	switch keep {
	case Float16:
		return safetensors.F16
	case BFloat16:
		return safetensors.BF16
	}
	return safetensors.F32
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func hashFile(file io.Reader) (string, error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// openChunk opens dir/name if it is what its name says, and complete: its bytes have the hash, and they are a chunk of
// the key with this hash, whose contributions are kept as keep. It holds no numbers yet but the index. The caller closes the
// file.
func openChunk(dir, name, keyHash, keep string) (_ *chunkFile, err error) {
	path := filepath.Join(dir, name)
	first, want, ok := parseChunkName(name)
	if !ok {
		return nil, fmt.Errorf("%s: not the name of a chunk", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a file", path)
	}
	got, err := hashFile(file)
	if err != nil {
		return nil, err
	}
	if got != want {
		return nil, fmt.Errorf("%s: damaged: its SHA-256 is %s", path, got)
	}
	tensors, err := safetensors.New(file, info.Size(), path)
	if err != nil {
		return nil, err
	}
	c := &chunkFile{file: file, tensors: tensors, first: first}
	if err := c.readShape(keyHash, keep); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// chunkFile is an open chunk.
type chunkFile struct {
	file    *os.File
	tensors *safetensors.File
	first   int
	index   []int
	shape   shape
}

func (c *chunkFile) Close() error { return c.file.Close() }

func (c *chunkFile) readShape(keyHash, keep string) error {
	metadata := c.tensors.Metadata()
	if got := metadata[keyEntry]; got != keyHash {
		return fmt.Errorf("a chunk of another key, %q", got)
	}
	if got, want := metadata[firstEntry], strconv.Itoa(c.first); got != want {
		return fmt.Errorf("the chunk of picture %q, not of %s", got, want)
	}
	if err := json.Unmarshal([]byte(metadata[componentsEntry]), &c.shape.components); err != nil {
		return fmt.Errorf("component names: %w", err)
	}
	contributions, ok := c.tensors.Info(contributionsTensor)
	if !ok || len(contributions.Shape) != 3 {
		return fmt.Errorf("no tensor %s [component, n, dim]", contributionsTensor)
	}
	if want := keptAs(keep); contributions.DType != want {
		return fmt.Errorf("contributions of type %s, not %s", contributions.DType, want)
	}
	c.shape.n, c.shape.dim = contributions.Shape[1], contributions.Shape[2]
	if contributions.Shape[0] == 0 || c.shape.n > 0 && c.shape.dim == 0 {
		return fmt.Errorf("contributions of shape %v", contributions.Shape)
	}
	want := map[string][]int{
		contributionsTensor:  {len(c.shape.components), c.shape.n, c.shape.dim},
		representationTensor: {c.shape.n, c.shape.dim},
		indexTensor:          {c.shape.n},
	}
	if logits, ok := c.tensors.Info(logitsTensor); ok && len(logits.Shape) == 2 {
		c.shape.classes = logits.Shape[1]
		want[logitsTensor] = []int{c.shape.n, c.shape.classes}
	}
	for _, name := range c.tensors.Names() {
		if info, _ := c.tensors.Info(name); want[name] == nil || !slices.Equal(info.Shape, want[name]) {
			return fmt.Errorf("tensor %s of shape %v does not belong here", name, info.Shape)
		}
		delete(want, name)
	}
	for name := range want {
		return fmt.Errorf("no tensor %s", name)
	}
	positions, err := c.tensors.Int64(indexTensor)
	if err != nil {
		return err
	}
	c.index = make([]int, len(positions))
	for i, position := range positions {
		c.index[i] = int(position)
	}
	return nil
}

// read reads the numbers.
func (c *chunkFile) read() (Chunk, error) {
	chunk := Chunk{First: c.first, Index: c.index, Components: c.shape.components}
	for name, numbers := range map[string]*[]float32{
		contributionsTensor:  &chunk.Contributions,
		representationTensor: &chunk.Representation,
		logitsTensor:         &chunk.Logits,
	} {
		if _, ok := c.tensors.Info(name); !ok {
			continue // only logits may be missing: readShape
		}
		var err error
		if *numbers, err = c.tensors.Float32(name); err != nil {
			return Chunk{}, err
		}
	}
	return chunk, nil
}
