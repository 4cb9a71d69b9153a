package gomlxvit

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"vitdecompose/data/counted"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/safetensors"
)

// storedTensors are a checkpoint's tensors by the names that an architecture gives them, whoever wrote the file.
type storedTensors struct {
	file checkpoint.Tensors
	made map[string]madeTensor // by the architecture's name
	// assumptions says what was done to the names, a line each.
	assumptions []string
}

// madeTensor says how a tensor of an architecture comes from those of the file.
type madeTensor struct {
	parts []string // names in the file
	shape []int
	// convert makes the numbers from those of the parts; nil puts the parts one behind the other.
	convert func(parts [][]float32) []float32
}

func newStoredTensors(file checkpoint.Tensors) *storedTensors {
	s := &storedTensors{file: file, made: make(map[string]madeTensor)}
	for _, name := range file.Names() {
		info, _ := file.Info(name)
		s.made[name] = madeTensor{parts: []string{name}, shape: info.Shape}
	}
	return s
}

// names lists the tensors, sorted.
func (s *storedTensors) names() []string { return sortedKeys(s.made) }

func (s *storedTensors) has(name string) bool {
	_, ok := s.made[name]
	return ok
}

// assume notes something that was done, a line.
func (s *storedTensors) assume(format string, args ...any) {
	s.assumptions = append(s.assumptions, fmt.Sprintf(format, args...))
}

// drop leaves a tensor out, if it is there.
func (s *storedTensors) drop(names ...string) {
	for _, name := range names {
		delete(s.made, name)
	}
}

// keepOnly leaves out the tensors whose names do not begin with a prefix, which are those of what.
func (s *storedTensors) keepOnly(prefix, what string) {
	left := 0
	for _, name := range s.names() {
		if !strings.HasPrefix(name, prefix) {
			s.drop(name)
			left++
		}
	}
	if left > 0 {
		s.assume("%s of %s left out", counted.Of(left, "tensor"), what)
	}
}

// rename gives every tensor the name that to says.
func (s *storedTensors) rename(to func(name string) string) {
	renamed := make(map[string]madeTensor, len(s.made))
	for _, name := range s.names() {
		renamed[to(name)] = s.made[name]
	}
	s.made = renamed
}

// join puts the tensors parts one behind the other along their first axis and calls that name; if any is there.
func (s *storedTensors) join(name string, parts ...string) error {
	var joined madeTensor
	for _, part := range parts {
		t, ok := s.made[part]
		switch {
		case !ok && joined.parts == nil && part == parts[0]:
			continue
		case !ok:
			return fmt.Errorf("%s: the tensor %q is missing beside %q", s.file.Name(), part, parts[0])
		case joined.parts == nil:
			joined.shape = slices.Clone(t.shape)
		case len(t.shape) != len(joined.shape) || len(t.shape) == 0 || !slices.Equal(t.shape[1:], joined.shape[1:]):
			return fmt.Errorf("%s: the tensors %q of shape %v and %q of shape %v cannot be joined", s.file.Name(), parts[0], joined.shape, part, t.shape)
		default:
			joined.shape[0] += t.shape[0]
		}
		joined.parts = append(joined.parts, t.parts...)
	}
	if joined.parts != nil {
		s.drop(parts...)
		s.made[name] = joined
	}
	return nil
}

// divide makes two tensors of one, the first rows and the others, if it is there and has more rows.
func (s *storedTensors) divide(name string, rows int, first, others string) {
	t, ok := s.made[name]
	if !ok || len(t.shape) == 0 || rows <= 0 || t.shape[0] <= rows || t.convert != nil {
		return // compare says what is wrong
	}
	s.drop(name)
	at := rows * (Param{Dims: t.shape[1:]}).size()
	part := func(rows int, take func(numbers []float32) []float32) madeTensor {
		shape := slices.Clone(t.shape)
		shape[0] = rows
		return madeTensor{parts: t.parts, shape: shape, convert: func(parts [][]float32) []float32 { return take(slices.Concat(parts...)) }}
	}
	s.made[first] = part(rows, func(numbers []float32) []float32 { return numbers[:at] })
	s.made[others] = part(t.shape[0]-rows, func(numbers []float32) []float32 { return numbers[at:] })
}

// reshape changes the shape of a tensor, if it is there and has as many numbers.
func (s *storedTensors) reshape(name string, shape ...int) {
	if t, ok := s.made[name]; ok && (Param{Dims: t.shape}).size() == (Param{Dims: shape}).size() {
		t.shape = shape
		s.made[name] = t
	}
}

// unfold makes a kernel [out, 3, patch, patch] of a linear layer [out, patch*patch*3] that reads the pixels of a patch row by row,
// if it is there as one.
func (s *storedTensors) unfold(name string, patch int) {
	t, ok := s.made[name]
	if !ok || len(t.shape) != 2 || t.shape[1] != 3*patch*patch || t.convert != nil {
		return
	}
	out := t.shape[0]
	t.shape = []int{out, 3, patch, patch}
	t.convert = func(parts [][]float32) []float32 {
		kernel := make([]float32, 0, len(parts[0]))
		for row := range out {
			for colour := range 3 {
				for pixel := range patch * patch {
					kernel = append(kernel, parts[0][(row*patch*patch+pixel)*3+colour])
				}
			}
		}
		return kernel
	}
	s.made[name] = t
}

// transpose swaps the axes of a matrix, if it is there.
func (s *storedTensors) transpose(name string) {
	t, ok := s.made[name]
	if !ok || len(t.shape) != 2 || t.convert != nil {
		return
	}
	rows, columns := t.shape[0], t.shape[1]
	t.shape = []int{columns, rows}
	t.convert = func(parts [][]float32) []float32 {
		out := make([]float32, 0, rows*columns)
		for column := range columns {
			for row := range rows {
				out = append(out, parts[0][row*columns+column])
			}
		}
		return out
	}
	s.made[name] = t
}

// splitClassPosition takes the first row of position embeddings [1, 1+patch, dim] out and adds it to the class token, for
// models whose positions are those of patches alone.
func (s *storedTensors) splitClassPosition(class, position string) {
	c, okClass := s.made[class]
	p, okPosition := s.made[position]
	if !okClass || !okPosition || len(p.shape) != 3 || p.shape[1] < 2 || (Param{Dims: c.shape}).size() != p.shape[2] {
		return // compareTensors says what is wrong
	}
	dim := p.shape[2]
	s.made[class] = madeTensor{parts: []string{c.parts[0], p.parts[0]}, shape: c.shape, convert: func(parts [][]float32) []float32 {
		sum := slices.Clone(parts[0])
		for i := range sum {
			sum[i] += parts[1][i]
		}
		return sum
	}}
	s.made[position] = madeTensor{parts: p.parts, shape: []int{1, p.shape[1] - 1, dim}, convert: func(parts [][]float32) []float32 {
		return parts[0][dim:]
	}}
}

// storedGrid is the shape of a tensor in the file where that is a position embedding of another square grid than the
// configuration's, which timm and open_clip resample; else the shape that it should have.
func (s *storedTensors) storedGrid(p Param) []int {
	shape := s.made[p.Name].shape
	rows := len(p.Dims) - 2
	if !p.position || len(shape) != len(p.Dims) || shape[rows+1] != p.Dims[rows+1] || rows == 1 && shape[0] != 1 {
		return p.Dims
	}
	patches := shape[rows] - p.positionPrefix
	if side := int(math.Sqrt(float64(max(patches, 0)))); side == 0 || side*side != patches {
		return p.Dims
	}
	return shape
}

// float32 reads a tensor. Numbers that are not stored as floating point are no weights, and neither are infinities or
// what is not a number.
func (s *storedTensors) float32(name string) ([]float32, error) {
	made := s.made[name]
	parts := make([][]float32, len(made.parts))
	for i, part := range made.parts {
		info, _ := s.file.Info(part)
		if !slices.Contains([]safetensors.DType{safetensors.F32, safetensors.F16, safetensors.BF16, safetensors.F64}, info.DType) {
			return nil, fmt.Errorf("%s: tensor %q holds %s, and weights are floating-point numbers (F32, F16, BF16, F64); store it as one of those",
				s.file.Name(), part, info.DType)
		}
		numbers, err := s.file.Float32(part)
		if err != nil {
			return nil, err
		}
		if at := notFinite(numbers); at >= 0 {
			return nil, fmt.Errorf("%s: tensor %q holds %v at element %d: these weights cannot compute anything; get them again or train them again",
				s.file.Name(), part, numbers[at], at)
		}
		parts[i] = numbers
	}
	if made.convert != nil {
		return made.convert(parts), nil
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return slices.Concat(parts...), nil
}

// notFinite finds the first number that is infinite or none, -1 if all are finite.
func notFinite(numbers []float32) int {
	const exponent = 0x7f800000
	for i, v := range numbers {
		if math.Float32bits(v)&exponent == exponent {
			return i
		}
	}
	return -1
}

// classes is the number of outputs of timm's linear head, whatever stands before its name; 0 without one.
func (s *storedTensors) classes() int {
	for _, name := range s.names() {
		isHead := strings.HasSuffix("."+name, ".head.weight")
		isPooled := strings.HasSuffix("."+name, ".head.fc.weight")
		if shape := s.made[name].shape; (isHead || isPooled) && len(shape) == 2 {
			s.assume("nothing says how many classes there are: %d, as the tensor %s has rows", shape[0], name)
			return shape[0]
		}
	}
	return 0
}

// stripPrefix leaves out the beginning that all names have in common up to a dot, such as "module." of parallel training,
// where the architecture's names have none of it.
func (s *storedTensors) stripPrefix(needed []Param) {
	if len(needed) == 0 || slices.ContainsFunc(needed, func(p Param) bool { return s.has(p.Name) }) {
		return
	}
	if prefix := commonPrefix(s.names()); prefix != "" {
		s.rename(func(name string) string { return name[len(prefix):] })
		s.assume("the names of all tensors begin with %q, which is left out", prefix)
	}
}

// commonPrefix is what all names begin with, up to and with a dot.
func commonPrefix(names []string) string {
	if len(names) == 0 {
		return ""
	}
	prefix := names[0]
	for _, name := range names {
		for !strings.HasPrefix(name, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return prefix[:strings.LastIndex(prefix, ".")+1]
}

// convertTimm takes the names that timm itself maps to its own when it loads a file.
func (s *storedTensors) convertTimm(arch Architecture) {
	switch c := arch.(type) {
	case *ViTConfig:
		s.convertDINOv2(c)
	case *SwinConfig:
		s.convertSwin()
	}
}

// convertDINOv2 maps the names that DINOv2's authors gave the tensors: the positions of a model with registers cover the
// class token, and a SwiGLU's layers are called w12 and w3. A mask token belongs to training.
func (s *storedTensors) convertDINOv2(c *ViTConfig) {
	if !s.has("mask_token") {
		return
	}
	s.drop("mask_token")
	s.assume("the tensor mask_token, which belongs to training, is left out")
	if s.has("register_tokens") {
		s.rename(func(name string) string {
			if name == "register_tokens" {
				return c.names.register
			}
			return name
		})
		s.splitClassPosition(c.names.class, c.names.position)
		s.assume("tensors are named as DINOv2's authors do: the position of the class token is added to it")
	}
	s.rename(strings.NewReplacer(".mlp.w12.", ".mlp.fc1.", ".mlp.w3.", ".mlp.fc2.").Replace)
}

var downsample = regexp.MustCompile(`^layers\.(\d+)\.downsample\.`)

// convertSwin maps the names of Swin's authors, and of timm before 0.9: patches are merged at the end of a stage and not at
// the beginning of the next, and the head is called head.
func (s *storedTensors) convertSwin() {
	if s.mergeAtBeginnings() {
		s.assume("tensors are named as Swin's authors do: patches are merged at the end of a stage")
	}
}

// mergeAtBeginnings gives the tensors that merge patches to the stage that they lead to and calls the head as timm does now,
// where patches are merged after the first stage; it says whether they were.
func (s *storedTensors) mergeAtBeginnings() bool {
	if !s.has("layers.0.downsample.reduction.weight") {
		return false
	}
	s.rename(func(name string) string {
		if match := downsample.FindStringSubmatch(name); match != nil {
			if stage, err := strconv.Atoi(match[1]); err == nil {
				return fmt.Sprintf("layers.%d.downsample.", stage+1) + name[len(match[0]):]
			}
		}
		if rest, ok := strings.CutPrefix(name, "head."); ok {
			return "head.fc." + rest
		}
		return name
	})
	return true
}

// compare checks names and shapes against what the architecture needs. Tensors listed in extra belong to other parts of the
// checkpoint (a text tower) and must be there too.
func (s *storedTensors) compare(needed, extra []Param) error {
	var missing, wrong, unused []string
	known := make(map[string]bool)
	for _, p := range slices.Concat(needed, extra) {
		known[p.Name] = true
		made, ok := s.made[p.Name]
		switch {
		case !ok:
			missing = append(missing, p.Name)
		case !slices.Equal(made.shape, p.Dims):
			wrong = append(wrong, fmt.Sprintf("%s is %v, not %v", p.Name, made.shape, p.Dims))
		}
	}
	for _, name := range s.names() {
		if !known[name] && !isLeftover(name, known) {
			unused = append(unused, name)
		}
	}
	if len(missing)+len(wrong)+len(unused) == 0 {
		return nil
	}
	hint := "check architecture and model_args in the configuration file"
	if prefix := s.hiddenBehind(needed); prefix != "" {
		hint = fmt.Sprintf("all that is needed is there behind the prefix %q, beside others: write a file without the others", prefix)
	}
	var parts []string
	for _, list := range []struct {
		what  string
		names []string
	}{{"missing", missing}, {"of another shape", wrong}, {"that the architecture does not have", unused}} {
		if n := len(list.names); n > 0 {
			slices.Sort(list.names)
			const most = 3
			more := ""
			if n > most {
				more = fmt.Sprintf(" and %d more", n-most)
			}
			parts = append(parts, fmt.Sprintf("%d %s (%s%s)", n, list.what, strings.Join(list.names[:min(n, most)], ", "), more))
		}
	}
	return fmt.Errorf("%s: the tensors do not fit the configuration: %s; %s", s.file.Name(), strings.Join(parts, "; "), hint)
}

// hiddenBehind finds a prefix behind which all needed tensors are, "" if there is none.
func (s *storedTensors) hiddenBehind(needed []Param) string {
	for _, name := range s.names() {
		prefix, ok := strings.CutSuffix(name, needed[0].Name)
		if ok && prefix != "" && !slices.ContainsFunc(needed, func(p Param) bool { return !s.has(prefix + p.Name) }) {
			return prefix
		}
	}
	return ""
}

// isLeftover says whether a tensor that no architecture lists is one that training leaves in checkpoints beside a known
// one: the batches that a batch norm has counted, tables that Swin computes from the size of its windows.
func isLeftover(name string, known map[string]bool) bool {
	table, scale := "attn.relative_position_bias_table", "attn.logit_scale" // of Swin and Swin V2
	for suffix, beside := range map[string][]string{
		"num_batches_tracked":          {"running_mean"},
		"attn.relative_position_index": {table, scale},
		"attn.relative_coords_table":   {scale},
		"attn_mask":                    {table, scale},
	} {
		if prefix, ok := strings.CutSuffix(name, suffix); ok && slices.ContainsFunc(beside, func(other string) bool { return known[prefix+other] }) {
			return true
		}
	}
	return false
}
