/* A table as lines of cells between tabs, numbers with all their digits, on the clipboard. */
document.querySelectorAll(".table > .copy").forEach((button) => {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = (cell) => {
      const key = cell.dataset.sort, said = cell.innerText.trim();
      const isNumber = cell.classList.contains("n") && key !== undefined && key !== "" && isFinite(key);
      return (isNumber ? key : said).replace(/\s*\n\s*/g, "; ");
    };
    const rows = [...button.parentElement.querySelector("table").rows].filter((row) => row.offsetParent !== null);
    const lines = rows.map((row) => [...row.cells].map(text).join("\t")).join("\n");
    let done = true;
    try {
      await navigator.clipboard.writeText(lines);
    } catch {
      const area = document.createElement("textarea");
      area.value = lines;
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
      button.focus();
    }
    button.textContent = done ? "Copied" : "Not allowed here";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
});
