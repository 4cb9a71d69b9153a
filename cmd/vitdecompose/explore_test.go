package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestExplore(t *testing.T) {
	model := tinyModel(t)
	pictures := writePictures(t, t.TempDir(), 2)
	out := filepath.Join(t.TempDir(), "sub", "page.html")
	stdout := succeed(t, append([]string{"explore", "--model", model, "--out", out, "--class", "3"}, pictures...)...)
	require.Contains(t, stdout, "left out of "+filepath.Base(model)+": words and top pictures of heads: no data were named (--data)")
	require.Regexp(t, `(?m)^wrote .*page\.html, [0-9.]+ MB$`, stdout)
	page, err := os.ReadFile(out)
	require.NoError(t, err)
	for _, picture := range pictures {
		require.Contains(t, string(page), `"name":"`+filepath.Base(picture)+`"`)
	}
	require.Contains(t, string(page), `"name":"`+tinyLabels()[3]+`","unit":"logit"`)
	noTemporaries(t, filepath.Dir(out))

	// Pictures of a data set, with those of the data that stand for heads.
	succeed(t, "explore", "--model", model, "--data", "scenes:6", "--no-texts", "--probes", "4", "--gallery", "5", "--cache", t.TempDir(), "--out", out)
	page, err = os.ReadFile(out)
	require.NoError(t, err)
	require.Contains(t, string(page), `"gallery":5`)
	require.Contains(t, string(page), `"picture":4`)
}

func TestExploreMistakes(t *testing.T) {
	model := tinyModel(t)
	picture := writePictures(t, t.TempDir(), 1)[0]
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	for _, c := range []struct {
		code  int
		args  string
		words []string
	}{
		{exitUsage, "P", []string{"--model is missing"}},
		{exitUsage, "--model M", []string{"name a picture", "--data"}},
		{exitUsage, "--model M --port 0 P", []string{"--port 0"}},
		{exitUsage, "--model M --port 80 --out x.html P", []string{"--out", "--port"}},
		{exitUsage, "--model M --probes 0 P", []string{"--probes"}},
		{exitUsage, "--model M,M P", []string{"twice"}},
		{exitUsage, "--model M --best 0 P", []string{"--best"}},
		{exitFailed, "--model M nowhere.jpg", []string{"nowhere.jpg"}},
		{exitFailed, "--model M --class 99 P", []string{"--class 99", "0 to 11"}},
		{exitFailed, "--model M --text car P", []string{"--reference"}},
		{exitFailed, "--model M --no-texts --text car P", []string{"--no-texts"}},
		{exitFailed, "--model M --no-texts --data scenes:4 --probes 4", []string{"no picture 4"}},
		{exitFailed, "--model M --out /dev/null/x P", []string{"--out"}},
		{exitFailed, "--model M --port " + port + " P", []string{"--port", "in use"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			args := strings.NewReplacer("--model M,M", "--model "+model+","+model, "--model M", "--model "+model, " P", " "+picture).Replace(" " + c.args)
			if !strings.Contains(args, "--out") && !strings.Contains(args, "--port") {
				args = " --out " + filepath.Join(t.TempDir(), "page.html") + args
			}
			fail(t, c.code, c.words, append([]string{"explore"}, strings.Fields(args)...)...)
		})
	}
}

// TestExplorePort serves pages, and Ctrl-C ends that at once.
func TestExplorePort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	require.NoError(t, l.Close())
	p := process(t, "", "explore", "--model", tinyModel(t), "--data", "scenes:6", "--no-texts", "--cache", t.TempDir(), "--port", port)
	var stderr bytes.Buffer
	p.Stderr = &stderr
	require.NoError(t, p.Start())
	address := "http://127.0.0.1:" + port
	get := func(path string) string {
		response, err := http.Get(address + path)
		if err != nil {
			return ""
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return string(body)
	}
	require.Eventually(t, func() bool { return strings.Contains(get("/"), "/picture/5") }, time.Minute, 20*time.Millisecond, "it does not answer")
	require.Contains(t, get("/picture/5"), `"more":"/more"`)
	interrupted := time.Now()
	require.NoError(t, p.Process.Signal(syscall.SIGINT))
	require.NoError(t, p.Wait(), stderr.String())
	require.Less(t, time.Since(interrupted), 2*time.Second)
}
