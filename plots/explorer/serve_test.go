package explorer

import (
	"context"
	"encoding/json"
	"image/jpeg"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/tiny"
)

// served starts a server for a tiny model, and returns its address and what ends it.
func served(t *testing.T) (address string, end func() error) {
	t.Helper()
	s, err := session.With(t.Context(), session.Options{CacheDir: t.TempDir()},
		session.Given{Backend: tiny.Backend(t), Model: tiny.Model(t), Data: tiny.Noise{N: 5, ClassNames: []string{"a", "b", "c", "d", "e"}}})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	e, err := experiments.NewExplorer(t.Context(), s, experiments.ExploreConfig{Gallery: 4, NoTexts: true, Best: 2})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	server := &Server{Explorers: []*experiments.Explorer{e}, Views: []session.View{s.View()}, Pictures: s.Pictures(), Data: s.Pictures()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	end = func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(time.Second):
			return context.DeadlineExceeded
		}
	}
	t.Cleanup(cancel)
	return "http://" + l.Addr().String(), end
}

// get fetches an address.
func get(t *testing.T, address string) (status int, body string) {
	t.Helper()
	response, err := http.Get(address)
	require.NoError(t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(content)
}

func TestServe(t *testing.T) {
	address, end := served(t)
	status, home := get(t, address+"/")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, 5, strings.Count(home, "<img"), "a thumbnail of each")
	require.Contains(t, home, `href="/picture/4"`)
	_, choosing := get(t, address+"/?with=3")
	require.Contains(t, choosing, `href="/picture/3?with=4"`)

	status, thumbnail := get(t, address+"/thumbnail/2")
	require.Equal(t, http.StatusOK, status)
	_, err := jpeg.Decode(strings.NewReader(thumbnail))
	require.NoError(t, err)

	status, page := get(t, address+"/picture/2?with=4")
	require.Equal(t, http.StatusOK, status)
	c := contentIn(t, []byte(page))
	require.Len(t, c.Views, 2)
	require.Equal(t, []int{2, 4}, []int{c.Views[0].Picture, c.Views[1].Picture})
	require.Equal(t, "/more", c.More)

	// A class that is not among the best two is asked about later.
	asked := make(map[string]bool)
	for _, q := range c.Views[0].Follow[0].Questions {
		asked[q.Name] = true
	}
	for _, name := range c.Models[0].Classes {
		if asked[name] {
			continue
		}
		status, answer := get(t, address+"/more?"+url.Values{"model": {"0"}, "picture": {"2"}, "subject": {"class"}, "name": {name}}.Encode())
		require.Equal(t, http.StatusOK, status, answer)
		var got struct {
			Question questionContent
			Gallery  []thumbnailContent
		}
		require.NoError(t, json.Unmarshal([]byte(answer), &got))
		require.Equal(t, name, got.Question.Name)
		require.InDelta(t, got.Question.Value, got.Question.Offset+got.Question.Sum, 1e-4)
		require.NotEmpty(t, got.Gallery)
	}
	for path, wants := range map[string]int{
		"/picture/5": http.StatusNotFound, "/picture/x": http.StatusNotFound, "/thumbnail/-1": http.StatusNotFound, "/picture/0?with=9": http.StatusNotFound,
		"/?with=7": http.StatusNotFound, "/etc/passwd": http.StatusNotFound,
		"/more?model=0&picture=9": http.StatusBadRequest, "/more?model=1&picture=0&subject=class&name=x": http.StatusBadRequest,
		"/more?model=0&picture=0&subject=class&name=x": http.StatusBadRequest, "/more?model=0&picture=0&subject=text&name=x": http.StatusBadRequest,
		"/more?model=0&picture=0&subject=share": http.StatusBadRequest,
	} {
		status, body := get(t, address+path)
		require.Equal(t, wants, status, "%s: %s", path, body)
	}

	// A page of the web that has its own name resolved to this machine gets nothing.
	request, err := http.NewRequest(http.MethodGet, address+"/picture/0", nil)
	require.NoError(t, err)
	request.Host = "example.org"
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusForbidden, response.StatusCode)

	require.NoError(t, end(), "it ends at once, and without an error")
	_, err = http.Get(address + "/")
	require.Error(t, err)
}

func TestServeNothing(t *testing.T) {
	require.ErrorContains(t, (&Server{}).Serve(t.Context(), nil), "0 explorers")
}
