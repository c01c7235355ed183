"""What plots share wherever they are drawn: colours, fonts, text that cannot become a tag, pages without a network."""
