package explorer

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
)

// Server shows pictures on this machine: their thumbnails, and the page of each, made when it is asked for.
type Server struct {
	// Explorers are those of the models, of the same pictures, and Views their pictures as each sees them.
	Explorers []*experiments.Explorer
	Views     []session.View
	// Pictures are those that can be explored, Data those among which top pictures are; its Dataset is nil where there are none.
	Pictures, Data session.Album
	Notes          []string

	mu sync.Mutex // explorers answer one question at a time
}

//go:embed home.html
var homeText string

var homeLayout = template.Must(template.New("home").Parse(homeText))

// perSheet is how many thumbnails one sheet shows.
const perSheet = 240

// Serve answers on a listener until the context ends, and then returns at once, without an error; what is being computed is
// left. Only requests that name this machine are answered: no page of the web can read what is shown here.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if len(s.Explorers) == 0 || len(s.Views) != len(s.Explorers) {
		return fmt.Errorf("%d explorers and %d views of pictures", len(s.Explorers), len(s.Views))
	}
	server := &http.Server{Handler: local(s.handler()), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return server.Close()
	}
}

// Idle reports whether nothing is being computed, and from then on nothing is: what the explorers hold may be freed.
func (s *Server) Idle() bool { return s.mu.TryLock() }

// local refuses requests whose Host is not this machine.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if !slices.Contains([]string{"127.0.0.1", "localhost", "[::1]", "::1"}, host) {
			http.Error(w, "this server answers requests to 127.0.0.1 alone", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("GET /thumbnail/{picture}", s.thumbnail)
	mux.HandleFunc("GET /picture/{picture}", s.page)
	mux.HandleFunc("GET /more", s.more)
	return mux
}

// picture is the number of a picture in a request.
func (s *Server) picture(text string) (int, error) {
	i, err := strconv.Atoi(text)
	if err != nil || i < 0 || i >= s.Pictures.Len() {
		return 0, fmt.Errorf("there is no picture %q: the data has %d, counted from 0", text, s.Pictures.Len())
	}
	return i, nil
}

// home shows a sheet of thumbnails.
func (s *Server) home(w http.ResponseWriter, r *http.Request) {
	type entry struct {
		Number      int
		Name, Label string
		To          string
	}
	sheets := (s.Pictures.Len() + perSheet - 1) / perSheet
	sheet, _ := strconv.Atoi(r.FormValue("sheet")) // anything else is the first
	sheet = min(max(0, sheet), max(0, sheets-1))
	with := ""
	if text := r.FormValue("with"); text != "" {
		i, err := s.picture(text)
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		with = strconv.Itoa(i)
	}
	var entries []entry
	for i := sheet * perSheet; i < min(s.Pictures.Len(), (sheet+1)*perSheet); i++ {
		item := s.Pictures.Item(i)
		e := entry{Number: i, Name: filepath.Base(item.Name), To: "/picture/" + strconv.Itoa(i)}
		if with != "" {
			e.To = "/picture/" + with + "?with=" + strconv.Itoa(i)
		}
		if classes := s.Pictures.Classes(); item.Label >= 0 && item.Label < len(classes) {
			e.Label = classes[item.Label]
		}
		entries = append(entries, e)
	}
	var models []string
	for _, e := range s.Explorers {
		models = append(models, e.About().Model)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// A browser that has gone needs no answer.
	_ = homeLayout.Execute(w, map[string]any{
		"Models": models, "Entries": entries, "With": with, "Sheet": sheet, "Next": sheet + 1, "Previous": sheet - 1,
		"Sheets": sheets, "Pictures": s.Pictures.Len(), "First": sheet * perSheet, "Last": min(s.Pictures.Len(), (sheet+1)*perSheet) - 1,
	})
}

// thumbnail is a picture in small.
func (s *Server) thumbnail(w http.ResponseWriter, r *http.Request) {
	i, err := s.picture(r.PathValue("picture"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	picture, err := s.Pictures.Image(i)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	encoded, err := jpegOf(square(picture, 2*thumbnailSide), 80)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "image/jpeg")
	w.Header().Set("Cache-Control", "max-age=3600")
	_, _ = w.Write(encoded) // a browser that has gone needs no answer
}

// page is the page of a picture, or of two beside each other.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	asked := []string{r.PathValue("picture")}
	if with := r.FormValue("with"); with != "" && with != asked[0] {
		asked = append(asked, with)
	}
	var pictures []int
	for _, text := range asked {
		i, err := s.picture(text)
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		pictures = append(pictures, i)
	}
	out, err := s.html(r.Context(), pictures, Page{More: "/more", Home: "/?with=" + strconv.Itoa(pictures[0])})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(out) // a browser that has gone needs no answer
}

// Write writes the page of some pictures, the first where none is named, as a file of its own.
func (s *Server) Write(ctx context.Context, path string, pictures []int) error {
	if len(pictures) == 0 {
		pictures = []int{0}
	}
	out, err := s.html(ctx, pictures, Page{})
	if err != nil {
		return err
	}
	return write(path, out)
}

// html is the page of pictures as all models see them.
func (s *Server) html(ctx context.Context, pictures []int, p Page) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Data, p.Notes = s.Data, s.Notes
	for m, e := range s.Explorers {
		model := Model{ExploredModel: e.About(), View: s.Views[m]}
		if p.More != "" {
			model.Texts, model.Classes = e.HasTexts(), e.ClassNames()
		}
		for _, i := range pictures {
			found, err := e.Picture(ctx, i)
			if err != nil {
				return nil, err
			}
			model.Pictures = append(model.Pictures, found)
		}
		p.Models = append(p.Models, model)
	}
	return HTML(p)
}

// more answers a further question: /more?model=0&picture=3&subject=text&name=a+red+car.
func (s *Server) more(w http.ResponseWriter, r *http.Request) {
	question, thumbnails, err := s.ask(r)
	w.Header().Set("Content-Type", "application/json")
	var answer any = map[string]any{"question": question, "gallery": thumbnails}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		answer = map[string]any{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(answer) // a browser that has gone needs no answer
}

func (s *Server) ask(r *http.Request) (questionContent, []thumbnailContent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	picture, err := s.picture(r.FormValue("picture"))
	if err != nil {
		return questionContent{}, nil, err
	}
	m, err := strconv.Atoi(r.FormValue("model"))
	if err != nil || m < 0 || m >= len(s.Explorers) {
		return questionContent{}, nil, errors.New("there is no such model")
	}
	e, name := s.Explorers[m], r.FormValue("name")
	var questions []experiments.Question
	switch experiments.Subject(r.FormValue("subject")) {
	case experiments.OfText:
		questions, err = e.Texts(r.Context(), picture, name)
	case experiments.OfClass:
		class := slices.Index(e.ClassNames(), name)
		if class < 0 {
			return questionContent{}, nil, fmt.Errorf("the model has no class %q", name)
		}
		questions, err = e.Classes(r.Context(), picture, class)
	default:
		err = errors.New("the subject is neither class nor text")
	}
	if err != nil {
		return questionContent{}, nil, err
	}
	g := gallery{album: s.Data, place: make(map[int]int)}
	content, err := g.question(questions[0], len(e.About().Components))
	return content, g.thumbnails, err
}
