package onnx

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/discover"
)

// Options change how a file is opened.
type Options struct {
	// Output is the name of the output that is the representation, or of the logits that it is before; "" finds them.
	Output string
	// Size is the side of the pictures for files that take any, 0 for what the configuration beside the file says.
	Size int
	// Mean and Std normalise the pixels, instead of what the configuration beside the file says; nil for that.
	Mean, Std *[3]float32
}

// representations are the names that exporters give to an output that is the representation, and logits those of logits.
var (
	representations = []string{"representation", "features", "image_features", "image_embeds", "pooler_output", "embedding", "embeddings"}
	logitsNames     = []string{"logits", "probs", "scores", "class_logits"}
)

// outputs chooses the outputs that are the representation and the logits, "" for what there is not.
func (g *Graph) outputs(chosen string, rank func(name string) int) (representation, logits string, err error) {
	if chosen != "" && !slices.Contains(g.Outputs, chosen) {
		return "", "", fmt.Errorf("there is no output %q; the outputs are %s", chosen, strings.Join(g.Outputs, ", "))
	}
	find := func(names []string) string {
		for _, name := range names {
			for _, o := range g.Outputs {
				if strings.EqualFold(o, name) && rank(o) == 2 {
					return o
				}
			}
		}
		return ""
	}
	logits = find(logitsNames)
	switch {
	case chosen != "" && chosen == logits:
		return "", logits, nil
	case chosen != "":
		return chosen, logits, nil
	}
	representation = find(representations)
	if representation != "" || logits != "" {
		return representation, logits, nil
	}
	var flat []string
	for _, o := range g.Outputs {
		if rank(o) == 2 {
			flat = append(flat, o)
		}
	}
	switch len(flat) {
	case 1:
		return "", flat[0], nil
	case 0:
		return "", "", fmt.Errorf("no output is shaped [batch, number]: the outputs are %s", strings.Join(g.Outputs, ", "))
	}
	return "", "", fmt.Errorf("it has several outputs, %s; choose one with --output", strings.Join(flat, ", "))
}

// function is the forward pass of the file for package discover.
func (g *Graph) function(chosen string) discover.Function {
	return func(w gomlxvit.Weights, pixels *graph.Node) discover.Results {
		names, described := g.Values()
		wanted := append(slices.Clone(names), g.Outputs...)
		nodes := g.Build(pixels, w.Get, wanted...)
		for i, n := range nodes {
			if n != nil && tooLarge(n.Shape().Dimensions) {
				panic(fmt.Errorf("%s: its result %s is larger than is supported", described[min(i, len(described)-1)], n.Shape()))
			}
		}
		byName := make(map[string]*graph.Node)
		for i, o := range g.Outputs {
			byName[o] = nodes[len(names)+i]
		}
		representation, logits, err := g.outputs(chosen, func(name string) int { return byName[name].Rank() })
		if err != nil {
			panic(err)
		}
		r := discover.Results{Namer: namer(nodes[:len(names)], described)}
		if representation != "" {
			r.Representation = byName[representation]
		}
		if logits != "" {
			r.Logits = byName[logits]
		}
		return r
	}
}

// namer describes a node by the node of the file that it was made for.
func namer(nodes []*graph.Node, described []string) discover.Namer {
	type named struct {
		id   graph.NodeId
		name string
	}
	var list []named
	for i, n := range nodes {
		if n != nil {
			list = append(list, named{n.Id(), described[i]})
		}
	}
	slices.SortStableFunc(list, func(a, b named) int { return int(a.id) - int(b.id) })
	return func(n *graph.Node) string {
		// The importer adds several nodes for one of the file; the last of them has its name.
		i, _ := slices.BinarySearchFunc(list, n.Id(), func(a named, id graph.NodeId) int { return int(a.id) - int(id) })
		if i == len(list) {
			return ""
		}
		return list[i].name
	}
}

// Open reads a model from an ONNX file and finds its parts. How pictures become pixels is read from preprocessor_config.json
// or config.json beside it, and names of classes from config.json; see [Options] for what they do not say.
//
// path may be a directory that holds the file, as [Find] finds it.
func Open(path string, opts Options) (*gomlxvit.Model, error) {
	path, err := Find(path)
	if err != nil {
		return nil, err
	}
	c, err := readConfiguration(path)
	if err != nil {
		return nil, err
	}
	size := opts.Size
	if size == 0 {
		size = c.size
	}
	g, err := Load(path, size)
	if err != nil {
		return nil, err
	}
	if g.Height != g.Width {
		return nil, fmt.Errorf("%s: it takes pictures of %d x %d pixels; only square ones are supported", path, g.Width, g.Height)
	}
	if opts.Size != 0 && g.Height != opts.Size {
		return nil, fmt.Errorf("%s: it takes pictures of %d pixels, not of %d", path, g.Height, opts.Size)
	}
	weights := weightTensors(g)
	for i := range g.Weights {
		g.Weights[i].Data = nil // the tensors have it
	}
	m, err := discover.NewModel(path, g.function(opts.Output), weights, discover.Options{Size: g.Height, Batch: g.Batch})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(g.Hash + opts.Output))
	m.ArchName, m.Hash = "onnx", hex.EncodeToString(sum[:])
	if c.known {
		m.Preprocess = c.preprocess
		m.Preprocess.Size = [2]int{g.Height, g.Height}
	}
	if opts.Mean != nil {
		m.Preprocess.Mean = *opts.Mean
	}
	if opts.Std != nil {
		m.Preprocess.Std = *opts.Std
	}
	if err := m.Preprocess.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(c.classes) == m.Arch.NumClasses() && len(c.classes) > 0 {
		m.ClassNames = c.classes
	}
	m.AssumeClassNames()
	return m, nil
}

// weightTensors are the weights by name.
func weightTensors(g *Graph) map[string]*tensors.Tensor {
	weights := make(map[string]*tensors.Tensor)
	for _, w := range g.Weights {
		weights[w.Name] = tensors.FromFlatDataAndDimensions(w.Data, w.Dims...)
	}
	return weights
}

// Find tells which ONNX file a path means: that file, or of a directory onnx/model.onnx or model.onnx, as the Hub has them, or the
// only one.
func Find(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return path, nil
	}
	for _, name := range []string{filepath.Join("onnx", "model.onnx"), "model.onnx"} {
		file := filepath.Join(path, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file, nil
		}
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	var files []string
	for _, entry := range entries {
		if strings.EqualFold(filepath.Ext(entry.Name()), ".onnx") {
			files = append(files, entry.Name())
		}
	}
	if len(files) != 1 {
		return "", fmt.Errorf("%s holds %d ONNX files; name the one that is meant", path, len(files))
	}
	return filepath.Join(path, files[0]), nil
}
