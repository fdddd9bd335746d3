// The page about the page only has an appearance to choose.

import { themeSwitch } from './loader/theme.js';

themeSwitch();
