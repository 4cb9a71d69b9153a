package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/gomlxvit/golden"
)

func TestModels(t *testing.T) {
	out := succeed(t, "models")
	require.Regexp(t, `(?m)^deit_base_patch16_224 +224 +12 +768 +1000$`, out)
	require.Regexp(t, `(?m)^vit_small_patch14_dinov2 +518 +12 +384 +0$`, out)
	require.Regexp(t, `(?m)^ViT-B-32 `, out)
	require.Regexp(t, `(?m)^SigLIP, SigLIP 2: `, out)
	require.Contains(t, out, "shipped with weights")
	require.Contains(t, out, "siglip2, siglip2_vision_model, siglip_vision_model, swin, swinv2, vit,")
}

func TestModelExplained(t *testing.T) {
	out := succeed(t, "models", "vit_so400m_patch14_siglip_384")
	require.Regexp(t, `taken apart into +432 heads, 27 MLPs, init, pool_mlp;`, out)
	require.Regexp(t, `weights +webli +--model hf:timm/vit_so400m_patch14_siglip_384.webli\n`, out)
	require.Regexp(t, `texts +12 layers of width 768, up to 64 tokens`, succeed(t, "models", "ViT-B-16-SigLIP2"))
	require.Regexp(t, `texts +not available`, succeed(t, "models", "roberta-ViT-B-32"))
	require.Contains(t, succeed(t, "models", "deit-mini"), "ships with the program, --model deit-mini")
	fail(t, exitFailed, []string{`"frob" is not known`, "nearest names"}, "models", "frob")
	fail(t, exitFailed, []string{"convnext_base", "ConvNeXt"}, "models", "convnext_base")
	fail(t, exitUsage, []string{"--arch goes with --check"}, "models", "--arch", "deit_tiny_patch16_224")
	fail(t, exitUsage, []string{"--check names the checkpoint"}, "models", "--check", tinyModel(t), "ViT-B-32")
	fail(t, exitUsage, []string{"--check: name a directory"}, "models", "--check", "")
	fail(t, exitUsage, []string{"--precision is not used"}, "models", "--check", tinyModel(t), "--precision", "bfloat16")
}

func TestModelChecked(t *testing.T) {
	model := tinyModel(t)
	out := succeed(t, "models", "--check", model)
	require.True(t, strings.HasPrefix(out, model+": loads as "+tinyArchitecture+"\n"), out)
	require.Regexp(t, `blocks +2, each of 3 heads and an MLP of 96`, out)
	require.Regexp(t, `names of classes +`+tinyLabels()[0], out)
	require.NotContains(t, out, "texts")

	file := filepath.Join(model, "model.safetensors")
	require.Contains(t, succeed(t, "models", "--check", file), ": loads as")
	require.Regexp(t, `texts +not available: there is no tokenizer.json`, succeed(t, "models", "--check", golden.Shared(t, "golden2", "hf_siglip")))
	require.NoError(t, os.Truncate(file, 20000))
	fail(t, exitFailed, []string{"model.safetensors", "damaged"}, "models", "--check", model)
	fail(t, exitFailed, []string{"nowhere/model", "no such checkpoint"}, "models", "--check", "nowhere/model")
	fail(t, exitFailed, []string{"io.open", "refused"}, "models", "--check", golden.Shared(t, "golden2", "files", "hostile.pth"))
}
