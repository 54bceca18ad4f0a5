package notify

import (
	"embed"
	"fmt"
	htmltemplate "html/template"
	"strings"
	"text/template"

	"holdfast/internal/coverage"
	"holdfast/internal/report"
)

//go:embed pages
var pages embed.FS

var (
	plainPage = template.Must(template.New("mail.txt").Funcs(template.FuncMap{"workTable": workTable}).ParseFS(pages, "pages/mail.txt"))
	htmlPage  = htmltemplate.Must(htmltemplate.New("mail.html").Funcs(htmltemplate.FuncMap{"colour": colour, "bad": bad}).ParseFS(pages, "pages/mail.html"))
)

// renderText writes a page as plain text.
func renderText(p page) string {
	var b strings.Builder
	if err := plainPage.Execute(&b, p); err != nil {
		return fmt.Sprintf("%s\n\n(the rest cannot be shown: %v)\n", p.Subject, err)
	}
	return b.String()
}

// renderHTML writes a page as HTML; "" when it cannot be, so that the text stands alone.
func renderHTML(p page) string {
	var b strings.Builder
	if err := htmlPage.Execute(&b, p); err != nil {
		return ""
	}
	return b.String()
}

func workTable(rows [][]string) string {
	t := report.NewTable("WHAT", "DONE", "FAILED", "READ", "NEW").AlignRight("DONE", "FAILED", "READ", "NEW")
	for _, r := range rows {
		t.Row(r...)
	}
	return t.String()
}

func colour(kind string) string {
	switch kind {
	case failure, promise:
		return "#b00020"
	case recovery:
		return "#1b7f3b"
	}
	return "#888"
}

func bad(cell string) bool {
	return cell == "DAMAGED" || strings.HasSuffix(cell, coverage.LateMark) || strings.HasPrefix(cell, "failed")
}
