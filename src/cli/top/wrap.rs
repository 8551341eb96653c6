//! Text in lines of a width.

/// Breaks text between words; lines after the first are indented.
pub fn wrap(text: &str, width: u16, lines: &mut Vec<String>) {
    let width = usize::from(width).max(4);
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if line.trim().is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, format!("  {word}")));
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.push(line);
}
