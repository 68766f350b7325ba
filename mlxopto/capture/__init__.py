"""Recording a unit of one's own: plan, takes, checks, and the captures folder that training reads."""
