package config

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"

	"holdfast/internal/problem"
)

// DefaultFile is read when neither -c nor HOLDFAST_CONFIG names another.
const DefaultFile = "/etc/holdfast/holdfast.yml"

// EnvFile is the environment variable that names the file when -c does not.
const EnvFile = "HOLDFAST_CONFIG"

// Find returns the file to read: the one given on the command line, else the environment's, else DefaultFile.
func Find(given string, getenv func(string) string) string {
	if given != "" {
		return given
	}
	if file := getenv(EnvFile); file != "" {
		return file
	}
	return DefaultFile
}

// Load reads and checks file. What is wrong inside the file comes back as *Errors, all of it at once.
func Load(file string) (*Config, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, problem.New(problem.Usage, "name the file with -c", "find configuration %s: %w", file, err)
	}
	data, err := os.ReadFile(abs)
	if err != nil {
		return nil, unreadable(file, err)
	}
	c, err := parse(file, filepath.Dir(abs), data)
	if err != nil {
		return nil, err
	}
	c.File = abs
	return c, nil
}

func unreadable(file string, err error) error {
	hint := "name the file with -c or " + EnvFile
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint += ", or write one with holdfast init"
	case errors.Is(err, fs.ErrPermission):
		hint = "run as the user that owns the file, usually root"
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return &problem.Error{Kind: problem.Usage, Op: "read configuration", Target: file, Cause: err, Hint: hint}
}

// Parse checks data as the content of the file called name. Relative paths inside are taken from name's directory.
func Parse(name string, data []byte) (*Config, error) {
	c, err := parse(name, filepath.Dir(name), data)
	if err != nil {
		return nil, err
	}
	c.File = name
	return c, nil
}

func parse(name, base string, data []byte) (*Config, error) {
	d := &decoder{file: name, base: base, seen: map[string]int{}}
	c := &Config{}
	if root := d.document(data); root != nil {
		*c = d.config(root)
	}
	if len(d.errs.Faults) > 0 {
		d.errs.sort()
		return nil, &d.errs
	}
	return c, nil
}

// document returns the root node of the only document in data, or nil with the fault noted.
func (d *decoder) document(data []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) || err == nil && isNull(&doc) {
		d.add(1, 1, "write one with holdfast init", "the file is empty")
		return nil
	} else if err != nil {
		d.syntax(err)
		return nil
	}
	if err := dec.Decode(&more); err == nil {
		d.add(more.Line, max(more.Column, 1), "keep one document and remove the --- line", "a second document begins here")
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
		return nil
	}
	return doc.Content[0]
}

var yamlLine = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)

// syntax notes a fault that the YAML reader found; it knows the line at best, and none means the first.
func (d *decoder) syntax(err error) {
	line, text := 1, err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	d.add(line, 1, "check the indentation, the quotes and that tabs are not used", "not valid YAML: %s", text)
}
