package kolla

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTarLogTellsApartWhatHappenedToFiles(t *testing.T) {
	for line, want := range map[string]tarLog{
		"tar: ./etc/a: socket ignored":                                                    {},
		"tar: Removing leading `./' from member names":                                    {},
		"tar: Exiting with failure status due to previous errors":                         {},
		"tar: ./etc/a: File removed before we read it":                                    {vanished: []string{"/etc/a"}},
		"tar: ./etc/a: Cannot stat: No such file or directory":                            {vanished: []string{"/etc/a"}},
		"tar: ./etc/a: Warning: Cannot open: No such file or directory":                   {vanished: []string{"/etc/a"}},
		"tar: ./etc/a: file changed as we read it":                                        {changed: []string{"/etc/a"}},
		"tar: ./etc/a: File shrank by 1 byte; padding with zeros":                         {lost: []string{"/etc/a: File shrank by 1 byte; padding with zeros"}},
		"tar: ./etc/a: Cannot open: Permission denied":                                    {lost: []string{"/etc/a: Cannot open: Permission denied"}},
		"tar: ./etc/a: Read error at byte 0, while reading 512 bytes: Input/output error": {lost: []string{"/etc/a: Read error at byte 0, while reading 512 bytes: Input/output error"}},
		"tar: ./etc/x: Cannot open: b: Cannot open: Permission denied":                    {lost: []string{"/etc/x: Cannot open: b: Cannot open: Permission denied"}},
		"tar: ./etc/a: Warning: Cannot acl_get_file_at: Operation not supported":          {bare: []string{"/etc/a"}},
		"tar: something that nobody has seen":                                             {unknown: []string{"tar: something that nobody has seen"}},
		"a line of somebody else":                                                         {},
		"tar: ./etc/new\\nline: Cannot readlink: Permission denied":                       {lost: []string{"/etc/new\\nline: Cannot readlink: Permission denied"}},
		"tar: SELinux support is not available":                                           {unable: []string{"tar: SELinux support is not available"}},
		"sudo: unable to resolve host ctl1":                                               {},
		"":                                                                                {},
	} {
		var got tarLog
		got.line(line)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(tarLog{})); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
	}
}

func FuzzTarLog(f *testing.F) {
	f.Add("tar: ./etc/a: Cannot open: Permission denied")
	f.Add("tar: : file changed as we read it")
	f.Fuzz(func(t *testing.T, line string) {
		var l tarLog
		l.line(line)
		said := len(l.vanished) + len(l.changed) + len(l.lost) + len(l.bare) + len(l.unable) + len(l.unknown)
		if said > 1 {
			t.Fatalf("one line counted %d times: %+v", said, l)
		}
		for _, text := range l.missing(tarTrouble) {
			if strings.TrimSpace(text) == "" {
				t.Fatalf("something is missing that has no name: %q", line)
			}
		}
	})
}
