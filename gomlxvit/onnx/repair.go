package onnx

import (
	"fmt"
	"math"
	"slices"
)

// This file is the whole of what is done to a graph before github.com/gomlx/onnx-gomlx (v0.5.1) sees it: attributes that have
// no effect are dropped, operators that it lacks or computes differently are written as others, and the fusions of
// onnxruntime (domain com.microsoft) are undone. What has no repair here and is not in the list of [supported] is refused.

// repairer rewrites the nodes of a graph, in their order.
type repairer struct {
	opset int64
	done  []*node
	made  int
	// shape tells the dimensions of a value that the nodes done so far compute, with the batch that the file has, or 2.
	shape func(name string) ([]int, error)
	// value tells the integers that the nodes done so far compute whatever the pixels are; fixed says that they are the same
	// for another batch.
	value func(name string) (values []int64, fixed bool, err error)
	used  map[string]bool // the values that something reads
}

// repairs rewrite a node with an operator of this name; those of com.microsoft have that in front.
var repairs map[string]func(r *repairer, n *node) error

func init() { // the functions lead back here
	repairs = map[string]func(r *repairer, n *node) error{
		"Dropout":            (*repairer).identity,
		"Constant":           (*repairer).constant,
		"ConstantOfShape":    (*repairer).created,
		"Expand":             (*repairer).created,
		"Tile":               (*repairer).created,
		"Range":              (*repairer).created,
		"Gelu":               (*repairer).gelu,
		"Softmax":            (*repairer).softmax,
		"LogSoftmax":         (*repairer).logSoftmax,
		"Squeeze":            (*repairer).axesInput,
		"Unsqueeze":          (*repairer).axesInput,
		"Split":              (*repairer).split,
		"Slice":              (*repairer).slice,
		"Reshape":            (*repairer).reshape,
		"GatherND":           (*repairer).gatherND,
		"Clip":               (*repairer).clip,
		"Pad":                (*repairer).pad,
		"Resize":             (*repairer).resize,
		"Conv":               (*repairer).conv,
		"AveragePool":        (*repairer).averagePool,
		"MaxPool":            (*repairer).maxPool,
		"GlobalAveragePool":  (*repairer).globalPool,
		"GlobalMaxPool":      (*repairer).globalPool,
		"BatchNormalization": (*repairer).batchNorm,
		"LayerNormalization": (*repairer).layerNorm,

		"InstanceNormalization":        (*repairer).instanceNorm,
		"GroupNormalization":           (*repairer).groupNorm,
		"RMSNormalization":             (*repairer).rmsNorm,
		"SimplifiedLayerNormalization": (*repairer).rmsNorm,
		"Attention":                    (*repairer).attention,
		"Swish":                        (*repairer).swish,
		"HardSigmoid":                  (*repairer).hardSigmoid,
		"LeakyRelu":                    (*repairer).leakyRelu,
		"PRelu":                        (*repairer).leakyRelu,
		"Elu":                          (*repairer).elu,
		"Softplus":                     (*repairer).softplus,
		"Mish":                         (*repairer).mish,
		"Sum":                          (*repairer).sum,
		"Mean":                         (*repairer).sum,
		"ReduceL1":                     (*repairer).reduceOf,
		"ReduceSumSquare":              (*repairer).reduceOf,
		"DepthToSpace":                 (*repairer).depthSpace,
		"SpaceToDepth":                 (*repairer).depthSpace,
		"Col2Im":                       (*repairer).col2im,

		"com.microsoft.Attention":                        (*repairer).fusedAttention,
		"com.microsoft.BiasGelu":                         (*repairer).biasGelu,
		"com.microsoft.Gelu":                             (*repairer).biasGelu,
		"com.microsoft.FastGelu":                         (*repairer).biasGelu,
		"com.microsoft.QuickGelu":                        (*repairer).swish,
		"com.microsoft.SkipLayerNormalization":           (*repairer).skipNorm,
		"com.microsoft.SkipSimplifiedLayerNormalization": (*repairer).skipNorm,
		"com.microsoft.FusedMatMul":                      (*repairer).fusedMatMul,
	}
	for _, op := range []string{"ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"} {
		repairs[op] = (*repairer).axesInput
	}
}

// run rewrites all nodes.
func (r *repairer) run(g *graphProto) error {
	r.used = make(map[string]bool)
	for _, n := range g.nodes {
		for _, name := range n.inputs {
			r.used[name] = true
		}
	}
	for _, v := range g.outputs {
		r.used[v.name] = true
	}
	for _, n := range g.nodes {
		n.attributes = slices.DeleteFunc(n.attributes, func(a *attribute) bool { return slices.Contains(ignored, a.name) })
		for len(n.inputs) > 0 && n.inputs[len(n.inputs)-1] == "" {
			n.inputs = n.inputs[:len(n.inputs)-1] // optional ones that are left out
		}
		for len(n.outputs) > 1 && !r.used[n.outputs[len(n.outputs)-1]] {
			n.outputs = n.outputs[:len(n.outputs)-1]
		}
		key := n.op
		if n.domain != "" {
			key = n.domain + "." + n.op
		}
		repair, ok := repairs[key]
		if !ok {
			r.done = append(r.done, n)
			continue
		}
		if len(n.inputs) == 0 && n.op != "Constant" {
			return fmt.Errorf("%s reads nothing", n)
		}
		if err := repair(r, n); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
	}
	g.nodes = r.done
	return nil
}

// attr finds an attribute and takes it away; nil if the node does not have it.
func (n *node) attr(name string) *attribute {
	for i, a := range n.attributes {
		if a.name == name {
			n.attributes = slices.Delete(slices.Clone(n.attributes), i, i+1)
			return a
		}
	}
	return nil
}

func (n *node) intAttr(name string, otherwise int64) int64 {
	if a := n.attr(name); a != nil {
		return a.i
	}
	return otherwise
}

func (n *node) floatAttr(name string, otherwise float32) float32 {
	if a := n.attr(name); a != nil {
		return a.f
	}
	return otherwise
}

func (n *node) stringAttr(name, otherwise string) string {
	if a := n.attr(name); a != nil {
		return a.s
	}
	return otherwise
}

func (n *node) intsAttr(name string) []int64 {
	if a := n.attr(name); a != nil {
		return a.ints
	}
	return nil
}

// input is an input by its position, "" if it is left out.
func (n *node) input(i int) string {
	if i < len(n.inputs) {
		return n.inputs[i]
	}
	return ""
}

func ints(name string, values ...int64) *attribute {
	return &attribute{name: name, kind: kindInts, ints: values}
}
func integer(name string, value int64) *attribute {
	return &attribute{name: name, kind: kindInt, i: value}
}
func float(name string, value float32) *attribute {
	return &attribute{name: name, kind: kindFloat, f: value}
}

// keep leaves a node as it is.
func (r *repairer) keep(n *node) error {
	r.done = append(r.done, n)
	return nil
}

// name makes a name for a value within what a node becomes.
func (r *repairer) name(n *node) string {
	r.made++
	return fmt.Sprintf("%s/repaired:%d", n.outputs[0], r.made)
}

// emit adds a node in the place of n and returns the name of its result.
func (r *repairer) emit(n *node, op string, inputs []string, attributes ...*attribute) string {
	out := r.name(n)
	r.done = append(r.done, &node{name: n.name, layer: n.layer, op: op, inputs: inputs, outputs: []string{out}, attributes: attributes})
	return out
}

// finish adds the node that computes the result of n.
func (r *repairer) finish(n *node, op string, inputs []string, attributes ...*attribute) error {
	if len(n.attributes) > 0 {
		return fmt.Errorf("its attribute %q, %s, is not supported", n.attributes[0].name, n.attributes[0])
	}
	if len(n.outputs) > 1 {
		return fmt.Errorf("its result %q is not supported", n.outputs[1])
	}
	r.done = append(r.done, &node{name: n.name, layer: n.layer, op: op, inputs: inputs, outputs: n.outputs[:1], attributes: attributes})
	return nil
}

// constInts and constFloats add constants.
func (r *repairer) constInts(n *node, values []int64, dims ...int64) string {
	return r.emit(n, "Constant", nil, &attribute{name: "value", kind: kindTensor, t: int64Tensor(values, dims...)})
}
func (r *repairer) vector(n *node, values ...int64) string {
	return r.constInts(n, values, int64(len(values)))
}
func (r *repairer) constFloats(n *node, values []float32, dims ...int64) string {
	return r.emit(n, "Constant", nil, &attribute{name: "value", kind: kindTensor, t: float32Tensor(values, dims...)})
}
func (r *repairer) scalar(n *node, value float32) string { return r.constFloats(n, []float32{value}) }

func (r *repairer) identity(n *node) error {
	n.attributes = nil
	return r.finish(n, "Identity", n.inputs[:1])
}

// constant brings the forms of a constant into one.
func (r *repairer) constant(n *node) error {
	if len(n.attributes) != 1 {
		return fmt.Errorf("it has %d attributes instead of one", len(n.attributes))
	}
	a := n.attributes[0]
	switch a.name {
	case "value":
		if a.t == nil {
			return fmt.Errorf("it has no value")
		}
	case "value_int":
		a.t = int64Tensor([]int64{a.i})
	case "value_ints":
		a.t = int64Tensor(a.ints, int64(len(a.ints)))
	case "value_float":
		a.t = float32Tensor([]float32{a.f})
	case "value_floats":
		a.t = float32Tensor(a.floats, int64(len(a.floats)))
	default:
		return fmt.Errorf("its attribute %q is not supported", a.name)
	}
	n.attributes = []*attribute{{name: "value", kind: kindTensor, t: a.t}}
	return r.keep(n)
}

// created checks the size of what a node makes from numbers.
func (r *repairer) created(n *node) error {
	total := int64(1)
	grow := func(factor int64) error {
		if factor < 0 || factor > maxElements || (factor > 0 && total > maxElements/factor) {
			return fmt.Errorf("its result would have more than %d elements", int64(maxElements))
		}
		total *= factor
		return nil
	}
	if n.op == "Range" {
		var ends [3]int64
		for i := range ends {
			values, _, err := r.value(n.input(i))
			if err != nil {
				return err
			}
			if len(values) != 1 {
				return fmt.Errorf("its bounds are not single numbers")
			}
			ends[i] = values[0]
		}
		if ends[2] == 0 {
			return fmt.Errorf("its step is 0")
		}
		if err := grow(max(0, (ends[1]-ends[0])/ends[2])); err != nil {
			return err
		}
		return r.keep(n)
	}
	shape := n.inputs[0]
	if n.op != "ConstantOfShape" {
		if len(n.inputs) < 2 {
			return fmt.Errorf("it lacks an input")
		}
		shape = n.inputs[1]
		if n.op == "Tile" {
			dims, err := r.shape(n.inputs[0])
			if err != nil {
				return err
			}
			for _, d := range dims {
				if err := grow(int64(d)); err != nil {
					return err
				}
			}
		}
	}
	dims, _, err := r.value(shape)
	if err != nil {
		return err
	}
	for _, d := range dims {
		if n.op == "Expand" && d == 0 {
			return fmt.Errorf("it would be empty")
		}
		if err := grow(d); err != nil {
			return err
		}
	}
	return r.keep(n)
}

func (r *repairer) gelu(n *node) error {
	switch how := n.stringAttr("approximate", "none"); how {
	case "none":
		return r.finish(n, "Gelu", n.inputs)
	case "tanh":
		return r.finish(n, "FastGelu", n.inputs)
	default:
		return fmt.Errorf("its attribute approximate, %q, is not supported", how)
	}
}

// softmax of versions before 13 takes all axes from one on together.
func (r *repairer) softmax(n *node) error {
	if r.opset >= 13 {
		return r.keep(n)
	}
	dims, err := r.shape(n.inputs[0])
	if err != nil {
		return err
	}
	axis := n.intAttr("axis", 1)
	if axis != -1 && axis != int64(len(dims)-1) {
		return fmt.Errorf("a softmax over several axes is not supported")
	}
	return r.finish(n, "Softmax", n.inputs, integer("axis", -1))
}

func (r *repairer) logSoftmax(n *node) error {
	if r.opset < 13 {
		return fmt.Errorf("it is supported from version 13 of the operators on")
	}
	soft := r.emit(n, "Softmax", n.inputs, integer("axis", n.intAttr("axis", -1)))
	return r.finish(n, "Log", []string{soft})
}

// axesInput makes an input of axes that are an attribute.
func (r *repairer) axesInput(n *node) error {
	if axes := n.intsAttr("axes"); axes != nil {
		n.inputs = []string{n.inputs[0], r.vector(n, axes...)}
	}
	return r.keep(n)
}

func (r *repairer) split(n *node) error {
	if sizes := n.intsAttr("split"); sizes != nil {
		n.inputs = []string{n.inputs[0], r.vector(n, sizes...)}
	}
	for i, o := range n.outputs { // all parts need a name
		if o == "" {
			n.outputs[i] = r.name(n)
		}
	}
	n.attr("num_outputs")
	if len(n.inputs) < 2 {
		dims, err := r.shape(n.inputs[0])
		if err != nil {
			return err
		}
		axis, count := 0, len(n.outputs)
		for _, a := range n.attributes {
			if a.name == "axis" {
				axis = int(a.i)
			}
		}
		if axis < 0 {
			axis += len(dims)
		}
		if axis < 0 || axis >= len(dims) {
			return fmt.Errorf("there is no axis %d", axis)
		}
		if dims[axis]%count != 0 {
			return fmt.Errorf("%d cannot be split into %d equal parts", dims[axis], count)
		}
	}
	return r.keep(n)
}

func (r *repairer) slice(n *node) error {
	if starts := n.intsAttr("starts"); starts != nil {
		ends, axes := n.intsAttr("ends"), n.intsAttr("axes")
		n.inputs = []string{n.inputs[0], r.vector(n, starts...), r.vector(n, ends...)}
		if axes != nil {
			n.inputs = append(n.inputs, r.vector(n, axes...))
		}
	}
	if len(n.inputs) < 3 {
		return fmt.Errorf("it lacks an input")
	}
	if len(n.inputs) < 5 {
		return r.keep(n)
	}
	steps, _, err := r.value(n.inputs[4])
	if err != nil {
		return err
	}
	axes := make([]int64, len(steps))
	for i := range axes {
		axes[i] = int64(i)
	}
	if n.inputs[3] == "" {
		n.inputs[3] = r.vector(n, axes...)
	} else if axes, _, err = r.value(n.inputs[3]); err != nil {
		return err
	}
	if len(axes) != len(steps) {
		return fmt.Errorf("it has %d steps for %d axes", len(steps), len(axes))
	}
	if !slices.ContainsFunc(steps, func(step int64) bool { return step < 1 }) {
		return r.keep(n)
	}
	return r.backwards(n, axes, steps)
}

// backwards writes a slice with negative steps as gathers: the importer makes an empty tensor of it.
func (r *repairer) backwards(n *node, axes, steps []int64) error {
	starts, fixed, err := r.value(n.inputs[1])
	if err != nil {
		return err
	}
	ends, fixedEnds, err := r.value(n.inputs[2])
	if err != nil {
		return err
	}
	dims, err := r.shape(n.inputs[0])
	if err != nil {
		return err
	}
	if !fixed || !fixedEnds || len(starts) != len(axes) || len(ends) != len(axes) {
		return fmt.Errorf("a step of %d over what the batch decides is not supported", slices.Min(steps))
	}
	x := n.inputs[0]
	for i, axis := range axes {
		if axis < 0 {
			axis += int64(len(dims))
		}
		whole := axis != 0
		if !whole { // axis 0 is the batch, unless these are numbers that depend on no pixel
			_, whole, err = r.value(n.inputs[0])
		}
		if err != nil || !whole || axis < 0 || axis >= int64(len(dims)) || steps[i] == 0 {
			return fmt.Errorf("a step of %d on axis %d of %v is not supported", steps[i], axis, dims)
		}
		length, up := int64(dims[axis]), int64(0)
		if steps[i] < 0 {
			up = -1
		}
		bound := func(v, low, high int64) int64 {
			if v < 0 {
				v += length
			}
			return min(max(v, low), high)
		}
		start, end := bound(starts[i], 0, length+up), bound(ends[i], up, length+up)
		var indices []int64
		for at := start; (steps[i] > 0 && at < end) || (steps[i] < 0 && at > end); at += steps[i] {
			indices = append(indices, at)
		}
		if len(indices) == 0 {
			return fmt.Errorf("its result is empty")
		}
		x = r.emit(n, "Gather", []string{x, r.vector(n, indices...)}, integer("axis", axis))
	}
	return r.finish(n, "Identity", []string{x})
}

func (r *repairer) gatherND(n *node) error {
	if n.intAttr("batch_dims", 0) != 0 {
		return fmt.Errorf("its attribute batch_dims is not supported")
	}
	return r.keep(n)
}

func (r *repairer) reshape(n *node) error {
	if shape := n.intsAttr("shape"); shape != nil {
		n.inputs = []string{n.inputs[0], r.vector(n, shape...)}
	}
	if n.intAttr("allowzero", 0) != 0 {
		shape, _, err := r.value(n.input(1))
		if err != nil {
			return err
		}
		if slices.Contains(shape, 0) {
			return fmt.Errorf("empty tensors are not supported")
		}
	}
	return r.keep(n)
}

func (r *repairer) clip(n *node) error {
	low, high := n.attr("min"), n.attr("max")
	if low != nil || high != nil {
		inputs := []string{n.inputs[0], "", ""}
		if low != nil {
			inputs[1] = r.scalar(n, low.f)
		}
		if high != nil {
			inputs[2] = r.scalar(n, high.f)
		}
		if high == nil {
			inputs = inputs[:2]
		}
		n.inputs = inputs
	}
	return r.keep(n)
}

// pad brings the widths into one constant for all axes.
func (r *repairer) pad(n *node) error {
	mode := n.stringAttr("mode", "constant")
	if mode != "constant" && mode != "reflect" {
		return fmt.Errorf("its attribute mode, %q, is not supported", mode)
	}
	dims, err := r.shape(n.inputs[0])
	if err != nil {
		return err
	}
	widths := n.intsAttr("pads")
	if fill := n.attr("value"); fill != nil {
		n.inputs = []string{n.inputs[0], "", r.scalar(n, fill.f)}
	}
	if widths == nil {
		var fixed bool
		if widths, fixed, err = r.value(n.input(1)); err != nil {
			return err
		}
		if !fixed {
			return fmt.Errorf("its widths depend on the batch")
		}
	}
	if axes := n.input(3); axes != "" {
		which, _, err := r.value(axes)
		if err != nil {
			return err
		}
		if len(widths) != 2*len(which) {
			return fmt.Errorf("it has %d widths for %d axes", len(widths), len(which))
		}
		all := make([]int64, 2*len(dims))
		for i, axis := range which {
			if axis < 0 {
				axis += int64(len(dims))
			}
			if axis < 0 || axis >= int64(len(dims)) {
				return fmt.Errorf("there is no axis %d", axis)
			}
			all[axis], all[int(axis)+len(dims)] = widths[i], widths[len(which)+i]
		}
		widths = all
	}
	if len(widths) != 2*len(dims) {
		return fmt.Errorf("it has %d widths for %d axes", len(widths), len(dims))
	}
	none, total := true, int64(1)
	for i, w := range widths {
		if w < 0 || w > maxElements {
			return fmt.Errorf("a width of %d is not supported", w)
		}
		none = none && w == 0
		if i < len(dims) {
			long := int64(dims[i]) + w + max(0, widths[i+len(dims)])
			if long > maxElements || total > maxElements/max(1, long) {
				return fmt.Errorf("its result would have more than %d elements", int64(maxElements))
			}
			total *= long
		}
		if mode == "reflect" && w >= int64(dims[i%len(dims)]) {
			return fmt.Errorf("a width of %d is more than can be reflected", w)
		}
	}
	if none {
		return r.finish(n, "Identity", n.inputs[:1])
	}
	inputs := []string{n.inputs[0], r.vector(n, widths...)}
	if fill := n.input(2); fill != "" {
		inputs = append(inputs, fill)
	}
	return r.finish(n, "Pad", inputs, &attribute{name: "mode", kind: kindString, s: mode})
}

// window is what convolutions and poolings have in common, along each axis of the map.
type window struct{ kernel, stride, dilation, before, after []int64 }

// window takes these attributes from a node and makes the widths of padding explicit. dims is the input's shape.
func (r *repairer) window(n *node, dims []int, kernel []int64) (window, error) {
	spatial := len(dims) - 2
	w := window{kernel: kernel, stride: n.intsAttr("strides"), dilation: n.intsAttr("dilations")}
	pads := n.intsAttr("pads")
	ones := slices.Repeat([]int64{1}, max(0, spatial))
	if w.stride == nil {
		w.stride = ones
	}
	if w.dilation == nil {
		w.dilation = ones
	}
	if pads == nil {
		pads = make([]int64, 2*max(0, spatial))
	}
	if spatial < 1 || len(w.kernel) != spatial || len(w.stride) != spatial || len(w.dilation) != spatial || len(pads) != 2*spatial {
		return w, fmt.Errorf("kernel %v, strides %v, dilations %v and pads %v do not fit %d axes", w.kernel, w.stride, w.dilation, pads, spatial)
	}
	w.before, w.after = slices.Clone(pads[:spatial]), slices.Clone(pads[spatial:])
	auto := n.stringAttr("auto_pad", "NOTSET")
	up := n.intAttr("ceil_mode", 0) != 0
	for i := range spatial {
		if w.kernel[i] < 1 || w.kernel[i] > 1<<14 || w.stride[i] < 1 || w.stride[i] > 1<<14 || w.dilation[i] < 1 || w.dilation[i] > 1<<14 ||
			pads[i] < 0 || pads[i] > 1<<14 || pads[i+spatial] < 0 || pads[i+spatial] > 1<<14 {
			return w, fmt.Errorf("kernel %v, strides %v, dilations %v and pads %v cannot be", w.kernel, w.stride, w.dilation, pads)
		}
		length, wide := int64(dims[2+i]), w.dilation[i]*(w.kernel[i]-1)+1
		switch auto {
		case "NOTSET", "VALID":
		case "SAME_UPPER", "SAME_LOWER":
			total := max(0, ((length+w.stride[i]-1)/w.stride[i]-1)*w.stride[i]+wide-length)
			w.before[i], w.after[i] = total/2, total-total/2
			if auto == "SAME_LOWER" {
				w.before[i], w.after[i] = w.after[i], w.before[i]
			}
		default:
			return w, fmt.Errorf("its attribute auto_pad, %q, is not supported", auto)
		}
		padded := length + w.before[i] + w.after[i]
		if padded < wide {
			return w, fmt.Errorf("its kernel is larger than the map of %d", padded)
		}
		if up && (padded-wide)%w.stride[i] != 0 {
			return w, fmt.Errorf("its attribute ceil_mode, %d, is not supported where it has an effect", 1)
		}
	}
	return w, nil
}

func (w window) pads() []int64 { return append(slices.Clone(w.before), w.after...) }

func (w window) padded() bool { return slices.Max(w.pads()) > 0 }

func (r *repairer) conv(n *node) error {
	dims, err := r.shape(n.inputs[0])
	if err != nil {
		return err
	}
	weight, err := r.shape(n.input(1))
	if err != nil {
		return err
	}
	if len(weight) != len(dims) || len(dims) < 3 {
		return fmt.Errorf("a kernel of %v does not fit %v", weight, dims)
	}
	kernel := make([]int64, len(weight)-2)
	for i := range kernel {
		kernel[i] = int64(weight[2+i])
	}
	n.attr("kernel_shape")
	w, err := r.window(n, dims, kernel)
	if err != nil {
		return err
	}
	return r.finish(n, "Conv", n.inputs, integer("group", n.intAttr("group", 1)), ints("kernel_shape", kernel...),
		ints("strides", w.stride...), ints("pads", w.pads()...), ints("dilations", w.dilation...))
}

// averagePool is written as a sum over the positions of the kernel: each is linear as it stands.
func (r *repairer) averagePool(n *node) error {
	dims, err := r.shape(n.inputs[0])
	if err != nil {
		return err
	}
	w, err := r.window(n, dims, n.intsAttr("kernel_shape"))
	if err != nil {
		return err
	}
	includes := n.intAttr("count_include_pad", 0) != 0
	x := n.inputs[0]
	area := int64(1)
	for _, k := range w.kernel {
		area *= k
	}
	if area > 1<<10 {
		return fmt.Errorf("its kernel of %v is larger than is supported", w.kernel)
	}
	sum := r.overWindow(n, w, dims, r.padded(n, w, x, 0), "Add")
	if includes || !w.padded() {
		return r.finish(n, "Mul", []string{sum, r.scalar(n, 1/float32(area))})
	}
	// How many positions of the map each window covers.
	out, counts := int64(1), []float32{1}
	shape := []int64{1, 1}
	for i := range w.kernel {
		length := int64(dims[2+i])
		along := (length+w.before[i]+w.after[i]-(w.dilation[i]*(w.kernel[i]-1)+1))/w.stride[i] + 1
		shape = append(shape, along)
		out *= along
		var next []float32
		for _, c := range counts {
			for p := range along {
				covered := 0
				for k := range w.kernel[i] {
					at := p*w.stride[i] + k*w.dilation[i] - w.before[i]
					if at >= 0 && at < length {
						covered++
					}
				}
				next = append(next, c*float32(covered))
			}
		}
		counts = next
	}
	for i := range counts {
		counts[i] = 1 / counts[i]
	}
	return r.finish(n, "Mul", []string{sum, r.constFloats(n, counts, shape...)})
}

// padded pads x for a window with a number.
func (r *repairer) padded(n *node, w window, x string, fill float32) string {
	if !w.padded() {
		return x
	}
	widths := append([]int64{0, 0}, w.before...)
	widths = append(append(widths, 0, 0), w.after...)
	return r.emit(n, "Pad", []string{x, r.vector(n, widths...), r.scalar(n, fill)}, &attribute{name: "mode", kind: kindString, s: "constant"})
}

// overWindow joins what lies at each position of the kernel with an operator.
func (r *repairer) overWindow(n *node, w window, dims []int, x, op string) string {
	spatial := len(w.kernel)
	axes := make([]int64, spatial)
	for i := range axes {
		axes[i] = int64(2 + i)
	}
	position := make([]int64, spatial)
	var sum string
	for {
		starts, ends := make([]int64, spatial), make([]int64, spatial)
		for i := range spatial {
			padded := int64(dims[2+i]) + w.before[i] + w.after[i]
			along := (padded - (w.dilation[i]*(w.kernel[i]-1) + 1)) / w.stride[i]
			starts[i] = position[i] * w.dilation[i]
			ends[i] = starts[i] + along*w.stride[i] + 1
		}
		part := r.emit(n, "Slice", []string{x, r.vector(n, starts...), r.vector(n, ends...), r.vector(n, axes...), r.vector(n, w.stride...)})
		if sum == "" {
			sum = part
		} else {
			sum = r.emit(n, op, []string{sum, part})
		}
		i := spatial - 1
		for ; i >= 0; i-- {
			if position[i]++; position[i] < w.kernel[i] {
				break
			}
			position[i] = 0
		}
		if i < 0 {
			return sum
		}
	}
}

// maxPool is written as maxima of two: each is the selection that the values make.
func (r *repairer) maxPool(n *node) error {
	dims, err := r.shape(n.inputs[0])
	if err != nil {
		return err
	}
	w, err := r.window(n, dims, n.intsAttr("kernel_shape"))
	if err != nil {
		return err
	}
	if n.intAttr("storage_order", 0) != 0 {
		return fmt.Errorf("its attribute storage_order is not supported")
	}
	return r.finish(n, "Identity", []string{r.overWindow(n, w, dims, r.padded(n, w, n.inputs[0], -math.MaxFloat32), "Max")})
}

func (r *repairer) globalPool(n *node) error {
	dims, err := r.shape(n.inputs[0])
	if err != nil {
		return err
	}
	axes := make([]int64, 0, len(dims))
	for i := 2; i < len(dims); i++ {
		axes = append(axes, int64(i))
	}
	op := "ReduceMean"
	if n.op == "GlobalMaxPool" {
		op = "ReduceMax"
	}
	return r.finish(n, op, []string{n.inputs[0], r.vector(n, axes...)}, integer("keepdims", 1))
}

func (r *repairer) batchNorm(n *node) error {
	n.attr("momentum") // of training
	n.attr("spatial")
	if n.intAttr("training_mode", 0) != 0 {
		return fmt.Errorf("it is exported in training mode")
	}
	return r.finish(n, "BatchNormalization", n.inputs, float("epsilon", n.floatAttr("epsilon", 1e-5)))
}

func (r *repairer) layerNorm(n *node) error {
	n.attr("stash_type") // the precision of the statistics, which is float32 here
	return r.finish(n, "LayerNormalization", n.inputs, integer("axis", n.intAttr("axis", -1)), float("epsilon", n.floatAttr("epsilon", 1e-5)))
}

// standardise computes (x - mean) / sqrt(variance + epsilon) over axes; without centre x / sqrt(mean(x²) + epsilon).
func (r *repairer) standardise(n *node, x string, axes []int64, epsilon float32, centre bool) string {
	over := r.vector(n, axes...)
	if centre {
		x = r.emit(n, "Sub", []string{x, r.emit(n, "ReduceMean", []string{x, over}, integer("keepdims", 1))})
	}
	variance := r.emit(n, "ReduceMean", []string{r.emit(n, "Mul", []string{x, x}), over}, integer("keepdims", 1))
	return r.emit(n, "Div", []string{x, r.emit(n, "Sqrt", []string{r.emit(n, "Add", []string{variance, r.scalar(n, epsilon)})})})
}

// perChannel shapes a vector so that it goes along axis 1 of a map with so many axes.
func (r *repairer) perChannel(n *node, vector string, rank int) string {
	shape := slices.Repeat([]int64{1}, rank-1)
	shape[0] = -1
	return r.emit(n, "Reshape", []string{vector, r.vector(n, shape...)})
}

func (r *repairer) instanceNorm(n *node) error {
	dims, err := r.shape(n.inputs[0])
	if err != nil {
		return err
	}
	if len(n.inputs) != 3 || len(dims) < 3 {
		return fmt.Errorf("it has %d inputs over %d axes", len(n.inputs), len(dims))
	}
	var axes []int64
	for i := 2; i < len(dims); i++ {
		axes = append(axes, int64(i))
	}
	x := r.standardise(n, n.inputs[0], axes, n.floatAttr("epsilon", 1e-5), true)
	x = r.emit(n, "Mul", []string{x, r.perChannel(n, n.inputs[1], len(dims))})
	return r.finish(n, "Add", []string{x, r.perChannel(n, n.inputs[2], len(dims))})
}

func (r *repairer) groupNorm(n *node) error {
	dims, err := r.shape(n.inputs[0])
	if err != nil {
		return err
	}
	groups := n.intAttr("num_groups", 0)
	n.attr("stash_type")
	if len(n.inputs) != 3 || len(dims) < 3 || groups < 1 || int64(dims[1])%groups != 0 {
		return fmt.Errorf("%d groups of %v are not supported", groups, dims)
	}
	scale, err := r.shape(n.inputs[1])
	if err != nil {
		return err
	}
	grouped := r.emit(n, "Reshape", []string{n.inputs[0], r.vector(n, 0, groups, -1)})
	x := r.standardise(n, grouped, []int64{2}, n.floatAttr("epsilon", 1e-5), true)
	full := []int64{0}
	for _, d := range dims[1:] {
		full = append(full, int64(d))
	}
	if len(scale) == 1 && scale[0] != dims[1] { // before version 21: a scale for each group
		x = r.emit(n, "Mul", []string{x, r.perChannel(n, n.inputs[1], 3)})
		x = r.emit(n, "Add", []string{x, r.perChannel(n, n.inputs[2], 3)})
		return r.finish(n, "Reshape", []string{x, r.vector(n, full...)})
	}
	x = r.emit(n, "Reshape", []string{x, r.vector(n, full...)})
	x = r.emit(n, "Mul", []string{x, r.perChannel(n, n.inputs[1], len(dims))})
	return r.finish(n, "Add", []string{x, r.perChannel(n, n.inputs[2], len(dims))})
}

func (r *repairer) rmsNorm(n *node) error {
	n.attr("stash_type")
	if axis := n.intAttr("axis", -1); axis != -1 {
		dims, err := r.shape(n.inputs[0])
		if err != nil {
			return err
		}
		if axis != int64(len(dims)-1) {
			return fmt.Errorf("its attribute axis, %d, is not supported", axis)
		}
	}
	x := r.standardise(n, n.inputs[0], []int64{-1}, n.floatAttr("epsilon", 1e-5), false)
	return r.finish(n, "Mul", []string{x, n.input(1)})
}

func (r *repairer) swish(n *node) error {
	otherwise := float32(1)
	if n.op == "QuickGelu" {
		otherwise = 1.702
	}
	x := n.inputs[0]
	inner := r.emit(n, "Mul", []string{x, r.scalar(n, n.floatAttr("alpha", otherwise))})
	return r.finish(n, "Mul", []string{x, r.emit(n, "Sigmoid", []string{inner})})
}

func (r *repairer) hardSigmoid(n *node) error {
	x := r.emit(n, "Mul", []string{n.inputs[0], r.scalar(n, n.floatAttr("alpha", 0.2))})
	x = r.emit(n, "Add", []string{x, r.scalar(n, n.floatAttr("beta", 0.5))})
	return r.finish(n, "Clip", []string{x, r.scalar(n, 0), r.scalar(n, 1)})
}

func (r *repairer) leakyRelu(n *node) error {
	slope := n.input(1)
	if n.op == "LeakyRelu" {
		slope = r.scalar(n, n.floatAttr("alpha", 0.01))
	}
	zero := r.scalar(n, 0)
	below := r.emit(n, "Mul", []string{r.emit(n, "Min", []string{n.inputs[0], zero}), slope})
	return r.finish(n, "Add", []string{r.emit(n, "Max", []string{n.inputs[0], zero}), below})
}

func (r *repairer) elu(n *node) error {
	zero := r.scalar(n, 0)
	low := r.emit(n, "Exp", []string{r.emit(n, "Min", []string{n.inputs[0], zero})})
	low = r.emit(n, "Mul", []string{r.emit(n, "Sub", []string{low, r.scalar(n, 1)}), r.scalar(n, n.floatAttr("alpha", 1))})
	return r.finish(n, "Add", []string{r.emit(n, "Max", []string{n.inputs[0], zero}), low})
}

// log1pExp is log(1 + exp(x)) without overflow: max(x, 0) + log(1 + exp(-|x|)).
func (r *repairer) log1pExp(n *node, x string) string {
	tail := r.emit(n, "Exp", []string{r.emit(n, "Neg", []string{r.emit(n, "Abs", []string{x})})})
	tail = r.emit(n, "Log", []string{r.emit(n, "Add", []string{tail, r.scalar(n, 1)})})
	return r.emit(n, "Add", []string{r.emit(n, "Max", []string{x, r.scalar(n, 0)}), tail})
}

func (r *repairer) softplus(n *node) error {
	return r.finish(n, "Identity", []string{r.log1pExp(n, n.inputs[0])})
}

func (r *repairer) mish(n *node) error {
	return r.finish(n, "Mul", []string{n.inputs[0], r.emit(n, "Tanh", []string{r.log1pExp(n, n.inputs[0])})})
}

func (r *repairer) sum(n *node) error {
	total := n.inputs[0]
	for _, x := range n.inputs[1:] {
		total = r.emit(n, "Add", []string{total, x})
	}
	if n.op == "Sum" {
		return r.finish(n, "Identity", []string{total})
	}
	return r.finish(n, "Mul", []string{total, r.scalar(n, 1/float32(len(n.inputs)))})
}

func (r *repairer) reduceOf(n *node) error {
	if axes := n.intsAttr("axes"); axes != nil {
		n.inputs = []string{n.inputs[0], r.vector(n, axes...)}
	}
	x := n.inputs[0]
	if n.op == "ReduceL1" {
		x = r.emit(n, "Abs", []string{x})
	} else {
		x = r.emit(n, "Mul", []string{x, x})
	}
	attributes := n.attributes
	n.attributes = nil
	return r.finish(n, "ReduceSum", append([]string{x}, n.inputs[1:]...), attributes...)
}

func (r *repairer) depthSpace(n *node) error {
	dims, err := r.shape(n.inputs[0])
	if err != nil {
		return err
	}
	size, mode := n.intAttr("blocksize", 0), n.stringAttr("mode", "DCR")
	if len(dims) != 4 || size < 1 || size > 1<<10 {
		return fmt.Errorf("blocks of %d in %v are not supported", size, dims)
	}
	c, h, w := int64(dims[1]), int64(dims[2]), int64(dims[3])
	if n.op == "SpaceToDepth" {
		x := r.emit(n, "Reshape", []string{n.inputs[0], r.vector(n, 0, c, h/size, size, w/size, size)})
		x = r.emit(n, "Transpose", []string{x}, ints("perm", 0, 3, 5, 1, 2, 4))
		return r.finish(n, "Reshape", []string{x, r.vector(n, 0, c*size*size, h/size, w/size)})
	}
	deep := c / (size * size)
	shape, perm := []int64{0, size, size, deep, h, w}, []int64{0, 3, 4, 1, 5, 2}
	if mode == "CRD" {
		shape, perm = []int64{0, deep, size, size, h, w}, []int64{0, 1, 4, 2, 5, 3}
	}
	x := r.emit(n, "Reshape", []string{n.inputs[0], r.vector(n, shape...)})
	x = r.emit(n, "Transpose", []string{x}, ints("perm", perm...))
	return r.finish(n, "Reshape", []string{x, r.vector(n, 0, deep, h*size, w*size)})
}

// col2im adds up blocks where they overlap: two products with matrices of 0 and 1, one for each axis.
func (r *repairer) col2im(n *node) error {
	image, fixed, err := r.value(n.input(1))
	if err != nil {
		return err
	}
	kernel, fixedKernel, err := r.value(n.input(2))
	if err != nil {
		return err
	}
	dims, err := r.shape(n.inputs[0])
	if err != nil {
		return err
	}
	if !fixed || !fixedKernel || len(image) != 2 || len(kernel) != 2 || len(dims) != 3 || kernel[0] < 1 || kernel[1] < 1 || image[0] < 1 || image[1] < 1 || image[0]*image[1] > maxElements {
		return fmt.Errorf("an image of %v from blocks of %v is not supported", image, kernel)
	}
	w, err := r.window(n, []int{1, 1, int(image[0]), int(image[1])}, kernel)
	if err != nil {
		return err
	}
	var along [2]int64
	var place [2][]float32 // [kernel*blocks along, image]
	for i := range along {
		along[i] = (image[i]+w.before[i]+w.after[i]-(w.dilation[i]*(kernel[i]-1)+1))/w.stride[i] + 1
		place[i] = make([]float32, kernel[i]*along[i]*image[i])
		for k := range kernel[i] {
			for b := range along[i] {
				if at := b*w.stride[i] + k*w.dilation[i] - w.before[i]; at >= 0 && at < image[i] {
					place[i][(k*along[i]+b)*image[i]+at] = 1
				}
			}
		}
	}
	channels := int64(dims[1]) / (kernel[0] * kernel[1])
	if channels*kernel[0]*kernel[1] != int64(dims[1]) || along[0]*along[1] != int64(dims[2]) {
		return fmt.Errorf("%v are not blocks of %v in an image of %v", dims, kernel, image)
	}
	x := r.emit(n, "Reshape", []string{n.inputs[0], r.vector(n, 0, channels, kernel[0], kernel[1], along[0], along[1])})
	x = r.emit(n, "Transpose", []string{x}, ints("perm", 0, 1, 2, 4, 3, 5))
	x = r.emit(n, "Reshape", []string{x, r.vector(n, 0, channels, kernel[0]*along[0], kernel[1]*along[1])})
	x = r.emit(n, "MatMul", []string{x, r.constFloats(n, place[1], kernel[1]*along[1], image[1])})
	rows := r.emit(n, "Transpose", []string{x}, ints("perm", 0, 1, 3, 2))
	rows = r.emit(n, "MatMul", []string{rows, r.constFloats(n, place[0], kernel[0]*along[0], image[0])})
	return r.finish(n, "Transpose", []string{rows}, ints("perm", 0, 1, 3, 2))
}

// attention of version 23 and later, without the cache of language models.
func (r *repairer) attention(n *node) error {
	if len(n.inputs) < 3 || len(n.inputs) > 4 || n.intAttr("is_causal", 0) != 0 || n.intAttr("qk_matmul_output_mode", 0) != 0 {
		return fmt.Errorf("an attention with a cache or a causal mask is not supported")
	}
	if n.floatAttr("softcap", 0) != 0 {
		return fmt.Errorf("its attribute softcap is not supported")
	}
	n.attr("softmax_precision")
	qHeads, kvHeads := n.intAttr("q_num_heads", 0), n.intAttr("kv_num_heads", 0)
	q, k, v := n.inputs[0], n.inputs[1], n.inputs[2]
	dims, err := r.shape(q)
	if err != nil {
		return err
	}
	flat := len(dims) == 3
	if flat {
		if qHeads < 1 || kvHeads < 1 {
			return fmt.Errorf("it does not say how many heads it has")
		}
		q, k, v = r.heads(n, q, qHeads), r.heads(n, k, kvHeads), r.heads(n, v, kvHeads)
	} else if len(dims) != 4 {
		return fmt.Errorf("queries of %v are not supported", dims)
	}
	qd, err := r.shape(q)
	if err != nil {
		return err
	}
	kd, err := r.shape(k)
	if err != nil {
		return err
	}
	if qd[1] != kd[1] {
		return fmt.Errorf("%d heads of queries and %d of keys are not supported", qd[1], kd[1])
	}
	scale := n.floatAttr("scale", float32(1/math.Sqrt(float64(qd[3]))))
	merged := r.dotProduct(n, q, k, v, scale, n.input(3))
	if flat {
		merged = r.emit(n, "Transpose", []string{merged}, ints("perm", 0, 2, 1, 3))
		return r.finish(n, "Reshape", []string{merged, r.vector(n, 0, 0, -1)})
	}
	return r.finish(n, "Identity", []string{merged})
}

// heads splits [batch, token, head*dim] into [batch, head, token, dim].
func (r *repairer) heads(n *node, x string, heads int64) string {
	x = r.emit(n, "Reshape", []string{x, r.vector(n, 0, 0, heads, -1)})
	return r.emit(n, "Transpose", []string{x}, ints("perm", 0, 2, 1, 3))
}

// dotProduct is scaled dot-product attention of [batch, head, token, dim].
func (r *repairer) dotProduct(n *node, q, k, v string, scale float32, mask string) string {
	scores := r.emit(n, "MatMul", []string{q, r.emit(n, "Transpose", []string{k}, ints("perm", 0, 1, 3, 2))})
	scores = r.emit(n, "Mul", []string{scores, r.scalar(n, scale)})
	if mask != "" {
		scores = r.emit(n, "Add", []string{scores, mask})
	}
	weights := r.emit(n, "Softmax", []string{scores}, integer("axis", -1))
	return r.emit(n, "MatMul", []string{weights, v})
}

// fusedAttention undoes com.microsoft's Attention: a linear layer for queries, keys and values, and attention.
func (r *repairer) fusedAttention(n *node) error {
	if len(n.inputs) > 3 || len(n.inputs) < 2 || n.intAttr("unidirectional", 0) != 0 || n.intAttr("do_rotary", 0) != 0 {
		return fmt.Errorf("masks and caches are not supported")
	}
	n.attr("mask_filter_value")
	n.attr("past_present_share_buffer")
	heads := n.intAttr("num_heads", 0)
	weight, err := r.shape(n.inputs[1])
	if err != nil {
		return err
	}
	if heads < 1 || len(weight) != 2 {
		return fmt.Errorf("%d heads of a weight %v are not supported", heads, weight)
	}
	widths := n.intsAttr("qkv_hidden_sizes")
	if widths == nil {
		third := int64(weight[1] / 3)
		widths = []int64{third, third, third}
	}
	if len(widths) != 3 || widths[0]+widths[1]+widths[2] != int64(weight[1]) || widths[0]%heads != 0 {
		return fmt.Errorf("widths %v of a weight %v are not supported", widths, weight)
	}
	qkv := r.emit(n, "MatMul", n.inputs[:2])
	if bias := n.input(2); bias != "" {
		qkv = r.emit(n, "Add", []string{qkv, bias})
	}
	var parts [3]string
	from := int64(0)
	for i, width := range widths {
		part := r.emit(n, "Slice", []string{qkv, r.vector(n, from), r.vector(n, from+width), r.vector(n, 2), r.vector(n, 1)})
		parts[i] = r.heads(n, part, heads)
		from += width
	}
	scale := n.floatAttr("scale", 0)
	if scale == 0 {
		scale = float32(1 / math.Sqrt(float64(widths[0]/heads)))
	}
	merged := r.dotProduct(n, parts[0], parts[1], parts[2], scale, "")
	merged = r.emit(n, "Transpose", []string{merged}, ints("perm", 0, 2, 1, 3))
	return r.finish(n, "Reshape", []string{merged, r.vector(n, 0, 0, -1)})
}

func (r *repairer) biasGelu(n *node) error {
	x := n.inputs[0]
	if bias := n.input(1); bias != "" {
		x = r.emit(n, "Add", []string{x, bias})
	}
	if n.op == "FastGelu" {
		return r.finish(n, "FastGelu", []string{x})
	}
	return r.finish(n, "Gelu", []string{x})
}

// skipNorm undoes a residual sum that was fused with the norm after it.
func (r *repairer) skipNorm(n *node) error {
	simple := n.op == "SkipSimplifiedLayerNormalization"
	if len(n.inputs) < 3 {
		return fmt.Errorf("it lacks an input")
	}
	beta, bias := n.input(3), n.input(4)
	if simple {
		beta, bias = "", n.input(3)
	}
	x := n.inputs[0]
	if bias != "" {
		x = r.emit(n, "Add", []string{x, bias})
	}
	sum := r.emit(n, "Add", []string{x, n.inputs[1]})
	for i, o := range n.outputs {
		if i == 0 || o == "" || !r.used[o] {
			continue
		}
		if i != 3 {
			return fmt.Errorf("its result %q is not supported", o)
		}
		r.done = append(r.done, &node{name: n.name, layer: n.layer, op: "Identity", inputs: []string{sum}, outputs: []string{o}})
	}
	n.outputs = n.outputs[:1]
	epsilon := n.floatAttr("epsilon", 1e-12)
	if simple {
		return r.finish(n, "Mul", []string{r.standardise(n, sum, []int64{-1}, epsilon, false), n.inputs[2]})
	}
	inputs := []string{sum, n.inputs[2]}
	if beta != "" {
		inputs = append(inputs, beta)
	}
	return r.finish(n, "LayerNormalization", inputs, integer("axis", -1), float("epsilon", epsilon))
}

func (r *repairer) fusedMatMul(n *node) error {
	if n.intAttr("transBatchA", 0) != 0 || n.intAttr("transBatchB", 0) != 0 || len(n.inputs) != 2 {
		return fmt.Errorf("transposed batches are not supported")
	}
	operands := slices.Clone(n.inputs)
	for i, name := range []string{"transA", "transB"} {
		if n.intAttr(name, 0) == 0 {
			continue
		}
		dims, err := r.shape(operands[i])
		if err != nil {
			return err
		}
		perm := make([]int64, len(dims))
		for axis := range perm {
			perm[axis] = int64(axis)
		}
		if last := len(perm) - 1; last > 0 {
			perm[last], perm[last-1] = perm[last-1], perm[last]
		}
		operands[i] = r.emit(n, "Transpose", []string{operands[i]}, ints("perm", perm...))
	}
	product := r.emit(n, "MatMul", operands)
	return r.finish(n, "Mul", []string{product, r.scalar(n, n.floatAttr("alpha", 1))})
}

// resize is written as one product with a matrix for each axis that changes.
func (r *repairer) resize(n *node) error {
	dims, err := r.shape(n.inputs[0])
	if err != nil {
		return err
	}
	mode, coordinates := n.stringAttr("mode", "nearest"), n.stringAttr("coordinate_transformation_mode", "half_pixel")
	nearest, a := n.stringAttr("nearest_mode", "round_prefer_floor"), float64(n.floatAttr("cubic_coeff_a", -0.75))
	n.attr("extrapolation_value")
	exclude, antialias := n.intAttr("exclude_outside", 0) != 0, n.intAttr("antialias", 0) != 0
	if antialias || n.intsAttr("axes") != nil || n.stringAttr("keep_aspect_ratio_policy", "stretch") != "stretch" {
		return fmt.Errorf("its attributes antialias, axes and keep_aspect_ratio_policy are not supported")
	}
	target := make([]int64, len(dims))
	scale := make([]float64, len(dims))
	if sizes := n.input(3); sizes != "" {
		values, _, err := r.value(sizes)
		if err != nil {
			return err
		}
		if len(values) != len(dims) {
			return fmt.Errorf("it has %d sizes for %d axes", len(values), len(dims))
		}
		for i, v := range values {
			target[i], scale[i] = v, float64(v)/float64(dims[i])
		}
	} else {
		scales, err := r.constantFloats(n.input(2))
		if err != nil {
			return err
		}
		if len(scales) != len(dims) {
			return fmt.Errorf("it has %d scales for %d axes", len(scales), len(dims))
		}
		for i, s := range scales {
			target[i], scale[i] = int64(math.Floor(float64(dims[i])*float64(s))), float64(s)
		}
	}
	x := n.inputs[0]
	for axis := range dims {
		if target[axis] == int64(dims[axis]) && scale[axis] == 1 {
			continue
		}
		if axis == 0 || target[axis] < 1 || target[axis] > 1<<14 || dims[axis] > 1<<14 {
			return fmt.Errorf("a resize from %v to %v is not supported", dims, target)
		}
		matrix, err := resizeMatrix(dims[axis], int(target[axis]), scale[axis], mode, coordinates, nearest, a, exclude)
		if err != nil {
			return err
		}
		perm := make([]int64, len(dims))
		for i := range perm {
			perm[i] = int64(i)
		}
		last := len(perm) - 1
		perm[axis], perm[last] = perm[last], perm[axis]
		moved := r.emit(n, "Transpose", []string{x}, ints("perm", perm...))
		moved = r.emit(n, "MatMul", []string{moved, r.constFloats(n, matrix, int64(dims[axis]), target[axis])})
		x = r.emit(n, "Transpose", []string{moved}, ints("perm", perm...))
	}
	return r.finish(n, "Identity", []string{x})
}

// resizeMatrix is the matrix [from, to] that resizes an axis as ONNX's Resize says.
func resizeMatrix(from, to int, scale float64, mode, coordinates, nearest string, a float64, exclude bool) ([]float32, error) {
	matrix := make([]float32, from*to)
	for i := range to {
		var x float64
		switch coordinates {
		case "half_pixel":
			x = (float64(i)+0.5)/scale - 0.5
		case "pytorch_half_pixel":
			if to > 1 {
				x = (float64(i)+0.5)/scale - 0.5
			}
		case "align_corners":
			if to > 1 {
				x = float64(i) * float64(from-1) / float64(to-1)
			}
		case "asymmetric":
			x = float64(i) / scale
		default:
			return nil, fmt.Errorf("its attribute coordinate_transformation_mode, %q, is not supported", coordinates)
		}
		var first int
		var weights []float64
		switch mode {
		case "nearest":
			var at float64
			switch nearest {
			case "round_prefer_floor":
				at = math.Ceil(x - 0.5)
			case "round_prefer_ceil":
				at = math.Floor(x + 0.5)
			case "floor":
				at = math.Floor(x)
			case "ceil":
				at = math.Ceil(x)
			default:
				return nil, fmt.Errorf("its attribute nearest_mode, %q, is not supported", nearest)
			}
			first, weights = int(at), []float64{1}
		case "linear":
			low := math.Floor(x)
			first, weights = int(low), []float64{1 - (x - low), x - low}
		case "cubic":
			low := math.Floor(x)
			first = int(low) - 1
			for k := range 4 {
				d := math.Abs(x - (low + float64(k-1)))
				if d <= 1 {
					weights = append(weights, ((a+2)*d-(a+3))*d*d+1)
				} else {
					weights = append(weights, ((a*d-5*a)*d+8*a)*d-4*a)
				}
			}
		default:
			return nil, fmt.Errorf("its attribute mode, %q, is not supported", mode)
		}
		total := 1.0
		if exclude {
			total = 0
			for k, w := range weights {
				if at := first + k; at >= 0 && at < from {
					total += w
				}
			}
		}
		for k, w := range weights {
			at := first + k
			if exclude && (at < 0 || at >= from) {
				continue
			}
			matrix[min(max(at, 0), from-1)*to+i] += float32(w / total)
		}
	}
	return matrix, nil
}

// constantFloats are the numbers of a constant.
func (r *repairer) constantFloats(name string) ([]float32, error) {
	for _, n := range r.done {
		if n.op == "Constant" && n.outputs[0] == name && len(n.attributes) == 1 && n.attributes[0].t != nil {
			return n.attributes[0].t.float32s()
		}
	}
	return nil, fmt.Errorf("the numbers %q that it reads are not constant", name)
}
