"""Providers that refuse what their vendors refuse, with a scripted model behind them."""
